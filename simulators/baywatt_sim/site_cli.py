"""`baywatt-sim site`: a whole site from its site file, until a signal ends it."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path
from typing import Annotated

import typer

from baywatt_contract.site_load import BadSiteFileError, load_site_file
from baywatt_sim.control import Control
from baywatt_sim.control_api import control_app
from baywatt_sim.http_server import HttpServer
from baywatt_sim.site_build import build_site
from baywatt_sim.site_errors import SimulatorError
from baywatt_sim.wire.pty_hub import PortTakenError

BAD_USAGE = 2
NOT_REACHABLE = 3


def site(
    file: Annotated[Path, typer.Argument(help="The site file to simulate.")],
    control: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where the control API listens.")
    ] = "127.0.0.1:18070",
    pace: Annotated[
        bool, typer.Option(help="Let bytes take their time on serial lines, as on copper.")
    ] = True,
) -> None:
    """Simulate every device of a site on real transports."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    host, _, port = control.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        _fail(f"--control {control}: write HOST:PORT, e.g. 127.0.0.1:18070", BAD_USAGE)
    try:
        asyncio.run(_serve(file.absolute(), host, int(port), pace=pace))
    except (BadSiteFileError, SimulatorError) as error:
        _fail(str(error), BAD_USAGE)
    except (OSError, PortTakenError) as error:
        _fail(str(error), NOT_REACHABLE)


def _fail(line: str, code: int) -> None:
    typer.echo(line, err=True)
    raise typer.Exit(code)


async def _serve(file: Path, host: str, port: int, *, pace: bool) -> None:
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, done.set)
    built = build_site(load_site_file(file), file.parent, loop.time, pace=pace)
    await built.start()
    server = HttpServer(control_app(Control(built)), host, port)
    try:
        await server.start()
        typer.echo(
            f"ready site {built.file.site.id}: control http://{host}:{server.port}, "
            f"{len(built.buses)} buses, {len(built.devices)} devices"
        )
        await done.wait()
    finally:
        await server.stop()
        await built.stop()
