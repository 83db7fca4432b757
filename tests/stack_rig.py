"""A site of real processes without its cloud, and ways to wait for what happens there."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from baywatt_sim.demo.driver import until
from baywatt_sim.demo.ports import choose_ports, write_site_file
from baywatt_sim.demo.stack import Stack, plain_http

Json = dict[str, Any]
Condition = Callable[[Json], bool]
CAR: Json = {"capacity_wh": 60_000, "soc": 0.2, "max_current_a": 32, "phases": 3}


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command of the installer's ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class EdgeStack(Stack):
    """Daemon, CSMS and simulated site. Nothing listens where [cloud] has its broker."""

    def __init__(self, folder: Path, *, csms: bool = True, daemon: bool = True) -> None:
        super().__init__(folder, ports=choose_ports(usual=False))
        self._with_csms, self._with_daemon = csms, daemon
        self.simulated_file = self.folder / "simulated.toml"

    async def start(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("credentials", "run", "logs"):
            (self.folder / name).mkdir(parents=True)
        write_site_file(self._example, self.simulated_file, self.ports)
        shutil.copy(self.simulated_file, self.site_file)
        (self.folder / "credentials" / "cloud").write_text("of the site", encoding="utf-8")
        starting = [self._start_site()]
        if self._with_csms:
            starting.append(self.start_csms())
        await asyncio.gather(*starting)
        if self._with_daemon:
            await self.start_daemon()

    # --- parts -----------------------------------------------------------------------------

    async def _start_site(self) -> None:
        control = f"127.0.0.1:{self.ports.site_control}"
        file = str(self.simulated_file)
        await self._spawn("site", "baywatt_sim", "site", file, "--control", control)

        async def up() -> bool:
            try:
                await self.sim.state()
            except httpx.HTTPError:
                return False
            return True

        await self._until("site", up)

    async def start_csms(self) -> None:
        """Returns when its control API answers."""
        control = f"127.0.0.1:{self.ports.csms_control}"
        port = str(self.ports.csms)
        await self._spawn("csms", "baywatt_sim", "csms", "--port", port, "--control", control)

        async def up() -> bool:
            try:
                await self.csms_received("Heartbeat")
            except httpx.HTTPError:
                return False
            return True

        await self._until("csms", up)

    async def ended(self, name: str, timeout_s: float = 20) -> int:
        """Wait for a part to end by itself; its exit code."""
        process = self._processes.pop(name)
        async with asyncio.timeout(timeout_s):
            return await process.wait()

    async def csms_answers(self, action: str, *sequence: Json) -> None:
        """Script the CSMS's next answers to an action."""
        await self._csms_post("answers", {"action": action, "sequence": list(sequence)})

    async def csms_fault(self, kind: str, **more: Any) -> None:
        """Let the CSMS misbehave."""
        await self._csms_post("fault", {"kind": kind, **more})

    async def transactions(self) -> list[Json]:
        """What the CSMS has booked, oldest first."""
        url = f"http://127.0.0.1:{self.ports.csms_control}/transactions"
        async with plain_http(10) as http:
            booked: list[Json] = (await http.get(url)).json()
            return booked

    async def _csms_post(self, path: str, body: Json) -> None:
        url = f"http://127.0.0.1:{self.ports.csms_control}/{path}"
        async with plain_http(10) as http:
            (await http.post(url, json=body)).raise_for_status()

    async def baywatt(self, *words: str, socket: Path | None = None) -> Ran:
        """Run a command of the installer's against this daemon."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "baywatt_edge.cli", *words,
            env={**self._env(), "BAYWATT_CONTROL_SOCKET": str(socket or self.socket)},
            cwd=self.folder, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(30):
                out, err = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        return Ran(process.returncode or 0, out.decode(), err.decode())

    # --- looking and waiting ---------------------------------------------------------------

    def log(self, name: str = "daemon") -> list[str]:
        """What a part has logged so far."""
        path = self.folder / "logs" / f"{name}.log"
        return path.read_text(encoding="utf-8", errors="replace").splitlines()

    async def log_line(self, *words: str, timeout_s: float = 20) -> str:
        """Wait for a line of the daemon's log that has all these words."""

        async def found() -> str:
            return next((line for line in self.log() if all(w in line for w in words)), "")

        line: str = await until(found, bool, what=f"a log line with {words}", timeout_s=timeout_s)
        return line

    async def until_status(self, holds: Condition, what: str, timeout_s: float = 20) -> Json:
        """Wait for a state of `baywatt status`."""
        seen: Json = await until(self.status, holds, what=what, timeout_s=timeout_s, every_s=0.05)
        return seen

    async def until_state(self, connector: int, state: str, timeout_s: float = 25) -> Json:
        """Wait for a connector's status."""
        return await self.until_status(
            lambda seen: seen["connectors"][str(connector)]["state"] == state,
            f"connector {connector} {state}",
            timeout_s,
        )

    async def online(self) -> None:
        """Wait until the CSMS has accepted the station and every device answers."""
        await self.until_status(
            lambda seen: (
                seen["csms"]["HARBOUR-1"]["state"] == "accepted"
                and all(each["up"] for bus in seen["buses"].values() for each in bus.values())
            ),
            "CSMS and devices",
        )

    async def until_event(self, kind: str, after: int = 0, **data: Any) -> Json:
        """Wait for an event after position `after` of the journal's list; its data."""

        async def find() -> Json | None:
            for each in (await self.events())[after:]:
                if each["type"] == kind and data.items() <= each["data"].items():
                    return each
            return None

        found = await until(find, lambda each: each is not None, what=f"{kind} {data}",
                            every_s=0.05)  # fmt: skip
        event: Json = found["data"]
        return event

    async def until_received(self, action: str, count: int) -> list[Json]:
        """Wait until the CSMS has at least `count` CALLs of an action; their payloads."""
        entries = await until(
            lambda: self.csms_received(action), lambda seen: len(seen) >= count,
            what=f"{count} {action}", every_s=0.05,
        )  # fmt: skip
        return [each["payload"] for each in entries]

    async def until_stopped(self, count: int) -> list[Json]:
        """Wait until the CSMS has booked `count` transactions and all are closed."""
        booked: list[Json] = await until(
            self.transactions,
            lambda seen: len(seen) >= count and all(each["stops"] for each in seen),
            what=f"{count} closed transactions",
            every_s=0.05,
        )
        return booked

    # --- a visit ---------------------------------------------------------------------------

    async def charge(self, connector: int = 1, token: str = "04A1B2C3", **car: Any) -> str:
        """Plug in and let the CSMS start; returns the session when current flows."""
        await self.sim.plug(connector, **{**CAR, **car})
        await self.until_status(
            lambda seen: seen["connectors"][str(connector)]["plugged"], "the plug"
        )
        answer = await self.csms_send(
            "RemoteStartTransaction", {"connectorId": connector, "idTag": token}
        )
        assert answer == {"status": "Accepted"}, answer
        await self.flowing(connector)
        seen = await self.until_state(connector, "Charging")
        return str(seen["connectors"][str(connector)]["session"])

    async def flowing(self, connector: int, timeout_s: float = 25) -> None:
        """Wait until the car draws."""
        await self.sim.until(
            lambda seen: seen.connectors[connector].power_w > 1000,
            what=f"power at connector {connector}", timeout_s=timeout_s,
        )  # fmt: skip

    async def leave(self, connector: int = 1) -> None:
        """Unplug and wait until the connector is free again."""
        await self.sim.unplug(connector)
        await self.until_state(connector, "Available")

    async def tidy(self) -> None:
        """Bring the site back to rest: no cars, no faults, nobody in a bay."""
        seen = await self.sim.state()
        for number, each in seen.connectors.items():
            if each.plugged:
                await self.sim.unplug(number)
        for bay, each in seen.bays.items():
            if each.occupied:
                await self.sim.bay(bay, occupied=False)
        await self.until_status(
            lambda now: all(now["connectors"][n]["state"] == "Available" for n in "123"),
            "a site at rest",
        )

    async def delivered(self, connector: int) -> float:
        """The simulator's own count of what went through a contactor, in Wh."""
        return (await self.sim.state()).connectors[connector].energy_wh

    # --- the daemon with other files -------------------------------------------------------

    async def restart_with(
        self, edit: Callable[[str], str] | None = None, *, socket: Path | None = None
    ) -> None:
        """End the daemon, forget its data and log, and start it on an edited site file.

        The log tells everything (debug), so that a test can see what is repeated quietly. Returns
        when the daemon runs; with a `socket` that cannot be made nothing answers there.
        """
        self.prepare(edit)
        await self._spawn(
            "daemon", "baywatt_edge.cli", "run", str(self.site_file),
            "--control-socket", str(socket or self.socket), "--log-level", "debug",
        )  # fmt: skip
        if socket is None:
            await self._until("daemon", self._daemon_answers)

    def prepare(self, edit: Callable[[str], str] | None = None) -> None:
        """An edited site file, no data, no log; the daemon must have ended."""
        assert "daemon" not in self._processes
        text = self.simulated_file.read_text(encoding="utf-8")
        edited = edit(text) if edit else text
        assert edit is None or edited != text, "the edit changed nothing"
        self.site_file.write_text(edited, encoding="utf-8")
        shutil.rmtree(self.folder / "run" / "data", ignore_errors=True)
        (self.folder / "logs" / "daemon.log").unlink(missing_ok=True)

    def told(self, *words: str, level: str = "WARNING") -> list[str]:
        """The daemon's log lines of a level (or above it) that have all these words."""
        levels = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
        loud = tuple(f" {each}" for each in levels[levels.index(level) :])
        return [
            line
            for line in self.log()
            if any(each in line[:40] for each in loud) and all(word in line for word in words)
        ]
