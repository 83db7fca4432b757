"""Against a foreign central system: the one that the `ocpp` package's examples show."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result
from ocpp.v16.datatypes import IdTagInfo
from ocpp.v16.enums import (
    Action,
    AuthorizationStatus,
    AvailabilityType,
    RegistrationStatus,
    ResetType,
)
from ocpp_helpers import STATION, FakeHouse, authorised, connector, sampled, started, stopped
from websockets.asyncio.server import ServerConnection, serve

from baywatt_contract.site_file import Authority, Station
from baywatt_contract.wishes import ResetWish, StartWish, StopWish
from baywatt_edge.clock import SystemClock
from baywatt_edge.journal import Journal, NewEvent, Write
from baywatt_edge.ocpp import BackOffRule, OcppStation


class Central(ChargePoint):
    """Handlers as the package's documentation writes them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seen: list[str] = []
        self.stop: dict[str, Any] = {}
        self.news = asyncio.Event()

    def _note(self, action: str) -> None:
        self.seen.append(action)
        self.news.set()

    async def wait_for(self, action: str, count: int = 1) -> None:
        async with asyncio.timeout(10):
            while self.seen.count(action) < count:
                self.news.clear()
                await self.news.wait()

    @on(Action.boot_notification)
    def on_boot(self, charge_point_vendor: str, **_: Any) -> Any:
        self._note("BootNotification")
        return call_result.BootNotification(
            current_time=datetime.now(UTC).isoformat(),
            interval=10,
            status=RegistrationStatus.accepted,
        )

    @on(Action.status_notification)
    def on_status(self, **_: Any) -> Any:
        self._note("StatusNotification")
        return call_result.StatusNotification()

    @on(Action.heartbeat)
    def on_heartbeat(self) -> Any:
        self._note("Heartbeat")
        return call_result.Heartbeat(current_time=datetime.now(UTC).isoformat())

    @on(Action.authorize)
    def on_authorize(self, id_tag: str) -> Any:
        return call_result.Authorize(id_tag_info=IdTagInfo(status=AuthorizationStatus.accepted))

    @on(Action.start_transaction)
    def on_start(self, **_: Any) -> Any:
        self._note("StartTransaction")
        info = IdTagInfo(status=AuthorizationStatus.accepted)
        return call_result.StartTransaction(transaction_id=7, id_tag_info=info)

    @on(Action.meter_values)
    def on_values(self, **_: Any) -> Any:
        self._note("MeterValues")
        return call_result.MeterValues()

    @on(Action.stop_transaction)
    def on_stop(self, **payload: Any) -> Any:
        self.stop = payload
        self._note("StopTransaction")
        return call_result.StopTransaction()


async def test_a_session_with_the_ocpp_package_as_central_system(tmp_path: Path) -> None:
    centrals: asyncio.Queue[Central] = asyncio.Queue()

    async def on_connect(connection: ServerConnection) -> None:
        central = Central(str(connection.request.path.strip("/")), connection)  # type: ignore[union-attr]
        centrals.put_nowait(central)
        await central.start()

    clock = SystemClock(1)
    connectors = [connector(1), connector(2)]
    house = FakeHouse(clock, connectors)
    async with serve(on_connect, "127.0.0.1", 0, subprotocols=["ocpp1.6"]) as server:  # type: ignore[list-item]
        port = next(iter(server.sockets)).getsockname()[1]
        journal = await Journal.open(
            tmp_path,
            "harbour",
            quota_bytes=64 << 20,
            mono_now=lambda: time.monotonic_ns() // 1_000_000,
        )
        station = OcppStation(
            Station(id=STATION, csms=f"ws://127.0.0.1:{port}"),
            connectors,
            Authority(),
            journal=journal,
            house=house,
            clock=clock,
            program_version="1.2.3",
            rng=Random(1),  # noqa: S311 - jitter
            back_off=BackOffRule(minimum_s=0.05, random_s=0.01),
        )
        (run,) = station.tasks().values()
        running = asyncio.ensure_future(run(lambda: None))
        try:
            central = await asyncio.wait_for(centrals.get(), 10)
            assert central.id == STATION
            await central.wait_for("StatusNotification", 3)
            await _play(central, station, house, journal, clock)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await journal.close()


async def _play(
    central: Central, station: OcppStation, house: FakeHouse, journal: Journal, clock: SystemClock
) -> None:
    assert (await station.authorise("CARD", 5)).accepted is True
    start = await central.call(call.RemoteStartTransaction(id_tag="CARD", connector_id=1))
    assert start.status == "Accepted"
    assert house.asked(StartWish)[0].connector_id == 11
    events = [authorised("s1", 1), started("s1", 1), sampled("s1", 1)]
    await journal.submit(Write(events=[NewEvent(each, clock.now()) for each in events])).done()
    await central.wait_for("MeterValues")
    stop = await central.call(call.RemoteStopTransaction(transaction_id=7))
    assert stop.status == "Accepted"
    assert house.asked(StopWish)[0].session == "s1"
    await journal.submit(Write(events=[NewEvent(stopped("s1", 1), clock.now())])).done()
    await central.wait_for("StopTransaction")
    assert (central.stop["transaction_id"], central.stop["meter_stop"]) == (7, 6000)
    config = await central.call(call.GetConfiguration())
    assert len(config.configuration_key) > 20
    changed = await central.call(
        call.ChangeConfiguration(key="MeterValueSampleInterval", value="30")
    )
    assert changed.status == "Accepted"
    available = await central.call(
        call.ChangeAvailability(connector_id=2, type=AvailabilityType.inoperative)
    )
    assert available.status == "Accepted"
    reset = await central.call(call.Reset(type=ResetType.soft))
    assert reset.status == "Accepted"
    async with asyncio.timeout(5):
        while not house.asked(ResetWish):
            await asyncio.sleep(0.01)
