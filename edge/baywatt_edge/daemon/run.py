"""Starting a site: load, open, restore, wire, run; or one clear line and an exit code."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from baywatt_contract.events import Authority, DaemonStarted
from baywatt_contract.house import Task
from baywatt_contract.observations import Observation
from baywatt_contract.site_file import SiteFile
from baywatt_contract.site_load import BadSiteFileError, load_site_file
from baywatt_contract.wishes import AuthorisationAnswer, AuthorisationQuestion
from baywatt_edge import __version__
from baywatt_edge.clock import SystemClock
from baywatt_edge.control import ControlServer
from baywatt_edge.credentials import MissingCredentialError, resolve
from baywatt_edge.daemon.crank import Crank, Outside
from baywatt_edge.daemon.snapshots import restore
from baywatt_edge.daemon.status import buses, storage
from baywatt_edge.devices.house import DeviceHouse
from baywatt_edge.devices.profile_library import ProfileLibrary
from baywatt_edge.journal import (
    FORGET,
    DatabaseNewerError,
    Journal,
    JournalFailedError,
    JournalUnavailableError,
    Write,
)
from baywatt_edge.ocpp import OcppStation
from baywatt_edge.site import SiteRules
from baywatt_edge.site.describe import describe
from baywatt_edge.site.evolve import description_hash
from baywatt_edge.supervisor import Criticality, Supervisor
from baywatt_edge.sync import SyncAgent

log = logging.getLogger(__name__)

OK, BAD_SITE_FILE, UNREACHABLE, NEWER_DATABASE = 0, 2, 3, 5
OWN_PROFILES = Path("/etc/baywatt/profiles")
DEFAULT_SOCKET = Path("/run/baywatt/control.sock")
_AUTHORISE_TIMEOUT_S = 10.0


def run_daemon(
    site_path: Path,
    control_socket: Path | None = None,
    data: Path | None = None,
    profiles: Path | None = None,
) -> int:
    """Run the site until SIGTERM or SIGINT; returns the exit code of interfaces.md, section 1."""
    try:
        file = _with_secrets(load_site_file(site_path))
        library = ProfileLibrary([profiles if profiles is not None else OWN_PROFILES])
    except (BadSiteFileError, MissingCredentialError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - the one clear line
        return BAD_SITE_FILE
    root = site_path.resolve().parent
    folder = data if data is not None else root / file.storage.path
    socket = control_socket or Path(os.environ.get("BAYWATT_CONTROL_SOCKET") or DEFAULT_SOCKET)
    try:
        return asyncio.run(_run(file, library, root, folder, socket))
    except DatabaseNewerError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return NEWER_DATABASE
    except JournalUnavailableError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return UNREACHABLE


def _with_secrets(file: SiteFile) -> SiteFile:
    """The site file with every `cred:NAME` replaced by its secret, in memory only."""
    stations = [
        each.model_copy(update={"csms_password": resolve(each.csms_password)})
        for each in file.stations
    ]
    cloud = file.cloud
    if cloud is not None:
        cloud = cloud.model_copy(update={"password": resolve(cloud.password)})
    return file.model_copy(update={"stations": stations, "cloud": cloud})


async def _run(
    file: SiteFile, library: ProfileLibrary, root: Path, folder: Path, socket: Path
) -> int:
    journal = await Journal.open(
        folder,
        file.site.id,
        quota_bytes=file.storage.quota_mb * 1_000_000,
        mono_now=lambda: time.monotonic_ns() // 1_000_000,
    )
    try:
        site = await Site.build(file, library, root, folder, socket, journal)
        return await site.run()
    finally:
        await journal.close()


def followers_gone(cursors: Iterable[str], file: SiteFile) -> list[str]:
    """Cursors of stations and of a cloud that the site file no longer names.

    Rows that they never read would be kept for ever.
    """
    stations = {f"ocpp:{each.id}" for each in file.stations if each.csms is not None}
    return sorted(
        name
        for name in cursors
        if (name.startswith("ocpp:") and name not in stations)
        or (name.startswith("sync:") and file.cloud is None)
    )


class Site:
    """All rooms of one site, constructed and tied together."""

    @classmethod
    async def build(
        cls,
        file: SiteFile,
        library: ProfileLibrary,
        root: Path,
        folder: Path,
        socket: Path,
        journal: Journal,
    ) -> Site:
        """Restore the state and construct every room; nothing runs yet."""
        state, seq = await restore(journal)
        clock = SystemClock(journal.boot)
        self = cls(file, journal, folder)
        # The crank hears the devices and commands them: each is made with the other in mind.
        self.devices = DeviceHouse(file, library, clock, self._observe, root)
        rules = SiteRules(file, journal.epoch)
        self.crank = Crank(
            rules, journal, clock, state, seq,
            hardware=self.devices, outside=Outside(self._ask, self._restart),
        )  # fmt: skip
        self.crank.record(DaemonStarted(program=f"baywatt {__version__}"))
        description = describe(file)
        if description_hash(description) != state.described:
            self.crank.record(description)
        self.stations = {
            station.id: OcppStation(
                station,
                [each for each in file.connectors if each.station == station.id],
                file.authority,
                journal=journal,
                house=self.crank,
                clock=clock,
                program_version=__version__,
                rng=random.Random(),  # noqa: S311 - jitter
            )
            for station in file.stations
            if station.csms is not None
        }
        if file.cloud is not None:
            self.sync = SyncAgent(file.site.id, file.cloud, journal, self.crank, clock, __version__)
        self.control = ControlServer(socket, self.crank, journal, self.status)
        if gone := followers_gone(journal.cursors(), file):
            log.warning("no longer in the site file, rows are not kept for: %s", ", ".join(gone))
            journal.submit(Write(cursors=dict.fromkeys(gone, FORGET)))
        return self

    crank: Crank
    devices: DeviceHouse
    stations: dict[str, OcppStation]
    control: ControlServer

    def __init__(self, file: SiteFile, journal: Journal, folder: Path) -> None:
        """Use `build`."""
        self.file = file
        self.sync: SyncAgent | None = None
        self._journal = journal
        self._folder = folder
        self._stop = asyncio.Event()
        self._asking: set[asyncio.Task[None]] = set()
        self._supervisor = Supervisor(
            lambda: time.monotonic_ns() // 1_000_000,
            random.Random(),  # noqa: S311 - jitter
        )

    def status(self) -> dict[str, Any]:
        """What the house itself does not know: links, buses, children, storage."""
        return {
            "csms": {name: station.status() for name, station in self.stations.items()},
            "cloud": self.sync.status() if self.sync is not None else {"state": "none"},
            "buses": buses(self.devices.health()),
            "children": self._supervisor.status(),
            "storage": storage(self._journal, self._folder),
        }

    async def run(self) -> int:
        """Run until asked to stop or the journal fails."""
        self._supervise("crank", self.crank.run, Criticality.SAFETY, 5.0)
        controls = {self.file.device(each.control).bus for each in self.file.connectors}
        for name, bus_task in self.devices.tasks().items():
            holds_current = name.removeprefix("bus:") in controls
            criticality = Criticality.SAFETY if holds_current else Criticality.TELEMETRY
            self._supervise(name, bus_task, criticality, 30.0)
        for station in self.stations.values():
            self._supervise_all(station.tasks(), Criticality.MONEY, 90.0)
        if self.sync is not None:
            self._supervise_all(self.sync.tasks(), Criticality.MONEY, 90.0)
        self._supervise_all(self.control.tasks(), Criticality.NICE, 30.0)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        log.info("site %s runs: boot %d, %d connectors",
                 self.file.site.id, self._journal.boot, len(self.file.connectors))  # fmt: skip
        supervising = asyncio.create_task(self._supervisor.run())
        stopping = asyncio.create_task(self._stop.wait())
        failing = asyncio.create_task(self._journal.failed.wait())
        tasks = {supervising, stopping, failing}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._journal.failed.is_set():
            log.critical("the journal failed: ending, so that the state is rebuilt from disk")
            return 1
        with contextlib.suppress(JournalFailedError):
            await self.crank.snapshot().done()
        return OK

    def _observe(self, seen: Observation) -> None:
        self.crank.observe(seen)

    def _supervise_all(
        self, tasks: dict[str, Task], criticality: Criticality, heartbeat_s: float
    ) -> None:
        for name, task in tasks.items():
            self._supervise(name, task, criticality, heartbeat_s)

    def _supervise(
        self, name: str, task: Task, criticality: Criticality, heartbeat_s: float
    ) -> None:
        self._supervisor.add(name, task, criticality, heartbeat_s)

    def _ask(self, question: AuthorisationQuestion) -> None:
        task = asyncio.create_task(self._ask_station(question))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _ask_station(self, question: AuthorisationQuestion) -> None:
        name = self.file.connector(question.connector_id).station
        station = self.stations.get(name)
        answer = AuthorisationAnswer("", Authority.CSMS, None, f"{name} has no CSMS")
        if station is not None:
            answer = await station.authorise(question.token, _AUTHORISE_TIMEOUT_S)
        await self.crank.wish(replace(answer, question_id=question.question_id))

    def _restart(self, hard: bool) -> None:
        log.info("%s restart asked for: ending, systemd starts anew", "hard" if hard else "soft")
        self._stop.set()
