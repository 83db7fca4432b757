"""`baywatt-sim csms`: the central system as a program."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from typing import Annotated

import typer
import uvicorn

from baywatt_sim.csms import CsmsSimulator
from baywatt_sim.csms_control import control_app


class _ControlServer(uvicorn.Server):
    """A server that leaves the signals to the program around it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield


async def run_csms(
    port: int,
    control: str,
    passwords: dict[str, str],
    *,
    host: str = "127.0.0.1",
    ready: asyncio.Event | None = None,
) -> None:
    """Serve until cancelled; raises OSError when a port is taken."""
    control_host, _, control_port = control.rpartition(":")
    async with CsmsSimulator(port, host=host, passwords=passwords) as csms:
        config = uvicorn.Config(
            control_app(csms),
            host=control_host or "127.0.0.1",
            port=int(control_port),
            log_level="warning",
            lifespan="off",
            ws="none",
        )
        server = _ControlServer(config)
        serving = asyncio.create_task(server.serve())
        if ready is not None:
            ready.set()
        try:
            await asyncio.shield(serving)
        finally:
            server.should_exit = True
            await serving


async def _until_signal(port: int, control: str, passwords: dict[str, str], host: str) -> None:
    task = asyncio.create_task(run_csms(port, control, passwords, host=host))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def csms(
    port: Annotated[int, typer.Option(help="where charge points connect")],
    control: Annotated[str, typer.Option(help="HOST:PORT of the control API")],
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    password: Annotated[
        list[str] | None, typer.Option(help="STATION=PASSWORD that a station must show")
    ] = None,
) -> None:
    """Run an OCPP 1.6J central system with a control API."""
    pairs = dict(each.partition("=")[::2] for each in password or [])
    asyncio.run(_until_signal(port, control, pairs, host))


if __name__ == "__main__":
    typer.run(csms)
