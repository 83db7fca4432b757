"""The harbour site around a daemon: simulated devices, broker and CSMS, each where it belongs.

The devices and the broker are processes of their own; the CSMS lives in the bench's process, so
that the moment of a message is the moment of its arrival.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from baywatt_contract.site_load import load_site_file
from baywatt_edge.devices.blocks import compile_blocks
from baywatt_edge.devices.profile_library import ProfileLibrary
from baywatt_sim.broker import EmbeddedBroker
from baywatt_sim.client import SimClient
from baywatt_sim.csms import CsmsSimulator
from baywatt_sim.demo.ports import choose_ports, write_site_file

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "harbour" / "site.toml"
STATION = "HARBOUR-1"
START_S = 40.0
CAR = {"capacity_wh": 60_000, "soc": 0.2, "max_current_a": 32, "phases": 3}
Process = asyncio.subprocess.Process


class Harbour:
    """A running site without its daemon; use `harbour(folder)`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = choose_ports()
        self.site_file = folder / "site.toml"
        self.socket = folder / "run" / "control.sock"
        self.password = secrets.token_hex(8)
        self.broker = EmbeddedBroker(self.ports.broker, {"harbour": self.password})
        self.csms = CsmsSimulator(self.ports.csms)
        self.sim = SimClient(f"http://127.0.0.1:{self.ports.site_control}")

    def prepare(self) -> None:
        """The folders, the site file and its one secret."""
        (self.folder / "run").mkdir(parents=True)
        (self.folder / "credentials").mkdir()
        (self.folder / "credentials" / "cloud").write_text(self.password, encoding="utf-8")
        write_site_file(EXAMPLE, self.site_file, self.ports)

    async def spawn(self, name: str, *command: str, **env: str) -> Process:
        """A process whose words go to NAME.log."""
        with (self.folder / f"{name}.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.folder, env={**_inherited(command[0]), **env},
            )  # fmt: skip

    async def spawn_daemon(self, python: Path, *options: str) -> Process:
        """The edge daemon in its own interpreter, with nothing but what that one has."""
        credentials = str(self.folder / "credentials")
        return await self.spawn(
            "daemon", str(python), *options, "-m", "baywatt_edge.cli", "run", str(self.site_file),
            "--control-socket", str(self.socket), CREDENTIALS_DIRECTORY=credentials,
        )  # fmt: skip

    async def status(self) -> dict[str, Any]:
        """`baywatt status --json`; raises httpx.HTTPError while the daemon is not there."""
        transport = httpx.AsyncHTTPTransport(uds=str(self.socket))
        async with httpx.AsyncClient(transport=transport, base_url="http://daemon") as http:
            answer = await http.get("/status", timeout=10)
            document: dict[str, Any] = answer.raise_for_status().json()
            return document

    async def steady(self) -> None:
        """Every device up, CSMS accepted, cloud connection up."""

        async def settled() -> bool:
            with contextlib.suppress(httpx.HTTPError, OSError):
                seen = await self.status()
                devices = [each for bus in seen["buses"].values() for each in bus.values()]
                return (
                    all(each["up"] for each in devices)
                    and seen["csms"][STATION]["state"] == "accepted"
                    and seen["cloud"]["state"] == "connected"
                )
            return False

        await until(settled, "every device, the CSMS and the broker")

    async def charge(self, *connectors: int) -> None:
        """Plug in and swipe at each; returns when energy flows through all."""
        for each in connectors:
            await self.sim.plug(each, **CAR)
            await self.sim.swipe(each, f"04A1B2C{each}")
        await self.sim.until(
            lambda seen: all(seen.connectors[each].power_w > 1000 for each in connectors),
            timeout_s=START_S, what=f"charging at {connectors}",
        )  # fmt: skip

    def polling_plan(self) -> list[dict[str, Any]]:
        """Every Modbus read that the daemon makes, for a peer to make as well."""
        site, library = load_site_file(self.site_file), ProfileLibrary()
        plan = []
        for bus in site.buses:
            devices = []
            gap_ms = float(bus.gap_ms or 0)
            for device in (each for each in site.devices if each.bus == bus.id):
                profile = library.get(device.profile)
                if profile.modbus is None or profile.modbus.interval_ms == 0:
                    continue
                blocks = compile_blocks(profile.polled, profile.modbus)
                devices.append({
                    "unit": device.unit, "interval_s": profile.modbus.interval_ms / 1000,
                    "blocks": [(each.function, each.address, each.count) for each in blocks],
                })  # fmt: skip
            if not devices or not str(bus.kind).startswith("modbus"):
                continue
            where = (
                {"port": str(self.folder / bus.port), "baudrate": bus.baudrate}
                if bus.port
                else {"host": bus.host, "tcp_port": bus.tcp_port}
            )
            plan.append({**where, "gap_s": gap_ms / 1000, "devices": devices})
        return plan

    def write_plan(self) -> Path:
        """`polling_plan` as a file."""
        path = self.folder / "plan.json"
        path.write_text(json.dumps(self.polling_plan()), encoding="utf-8")
        return path


@contextlib.asynccontextmanager
async def harbour(folder: Path) -> AsyncIterator[Harbour]:
    """Devices, broker and CSMS of the harbour site."""
    place = Harbour(folder)
    place.prepare()
    control = f"127.0.0.1:{place.ports.site_control}"
    async with place.broker, place.csms, place.sim:
        site = await place.spawn(
            "site", sys.executable, "-m", "baywatt_sim", "site", str(place.site_file),
            "--control", control,
        )  # fmt: skip
        try:
            await until(lambda: _stands(place.sim, site), "the simulated site")
            yield place
        finally:
            await end(site)


def _inherited(python: str) -> dict[str, str]:
    """Our environment; modules stay compiled, and another interpreter has its own packages."""
    hidden = {"PYTHONDONTWRITEBYTECODE"} | (set() if python == sys.executable else {"PYTHONPATH"})
    return {key: value for key, value in os.environ.items() if key not in hidden}


async def end(process: Process) -> None:
    """SIGTERM, and SIGKILL when it does not listen."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), 15)
        except TimeoutError:
            process.kill()
            await process.wait()


async def until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Ask until it holds; raises TimeoutError that names what was waited for."""
    deadline = asyncio.get_running_loop().time() + START_S
    while not await holds():
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"{what} did not come in {START_S:g} s")
        await asyncio.sleep(0.1)


async def _stands(sim: SimClient, process: Process) -> bool:
    if process.returncode is not None:
        raise RuntimeError(f"the simulated site ended with {process.returncode}")
    try:
        await sim.state()
    except httpx.TransportError:
        return False
    return True
