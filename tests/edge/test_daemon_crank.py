"""The crank releases what lowers risk at once, and what raises it only when it is durable."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace

import pytest

from baywatt_contract.clock import Instant
from baywatt_contract.events import Authority, AvailabilityChanged, StartSource
from baywatt_contract.observations import (
    ConnectorObserved,
    ControlTarget,
    MeterReading,
    Pilot,
    Quantity,
    ReadMeter,
)
from baywatt_contract.wishes import AvailabilityWish, StartWish, StopWish, TokensKnown, UnlockWish
from baywatt_edge.daemon.crank import Crank, Outside
from baywatt_edge.daemon.run import followers_gone
from baywatt_edge.daemon.snapshots import restore, snapshot_document
from baywatt_edge.journal import Journal, NewEvent, Row, Stream, Write
from baywatt_edge.site import SiteRules, SiteState
from baywatt_edge.site.state import elapsed_ms


@dataclass
class HandClock:
    at: Instant = field(default_factory=lambda: Instant(10_000, 1, 1_790_000_000_000))

    def now(self) -> Instant:
        return self.at

    def trust(self, utc_ms: int, source: str) -> None:
        raise NotImplementedError

    def advance(self, ms: int) -> None:
        self.at = self.at.plus_ms(ms)


@dataclass
class SlowCommit:
    rows: list[Row]
    gate: asyncio.Event

    async def done(self) -> None:
        await self.gate.wait()


class SlowJournal:
    """Commits when it is told to."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.full = False
        self.rows: list[Row] = []
        self.documents: dict = {}

    def submit(self, write):
        self.documents |= dict(write.documents)
        rows = []
        for event in write.events:
            stream = Stream.EVENTS if event.payload.class_a else Stream.TELEMETRY
            seq = sum(row.stream is stream for row in self.rows) + 1
            payload = event.payload
            row = Row(stream, seq, payload.type_name(), 1, event.at, "", payload.to_data())
            self.rows.append(row)
            rows.append(row)
        return SlowCommit(rows, self.gate)

    def types(self) -> list[str]:
        return [row.type for row in self.rows]


class Hands:
    """Hardware that remembers what it was told."""

    def __init__(self) -> None:
        self.targets: list[ControlTarget] = []
        self.reads: list[ReadMeter] = []

    def control(self, target: ControlTarget) -> None:
        self.targets.append(target)

    def read_meter(self, request: ReadMeter) -> None:
        self.reads.append(request)

    def last(self, connector: int) -> ControlTarget:
        return [each for each in self.targets if each.connector_id == connector][-1]


@dataclass
class Rig:
    crank: Crank
    journal: SlowJournal
    hands: Hands
    clock: HandClock
    restarts: list[bool]

    async def until(self, holds) -> None:
        async with asyncio.timeout(5):
            while not holds():
                await asyncio.sleep(0)

    def see(self, pilot: Pilot, *, closed: bool = False, offered: int = 0) -> None:
        self.crank.observe(ConnectorObserved(1, self.clock.now(), pilot, closed, True, offered))

    def answer_meter(self, energy_wh: int) -> None:
        request = self.hands.reads[-1]
        values = {Quantity.ENERGY_IMPORT_WH: energy_wh}
        now = self.clock.now()
        reading = MeterReading(request.device_id, now, values, requested_by=request.tag)
        self.crank.observe(reading)

    def start(self) -> asyncio.Task:
        wish = StartWish("w1", 1, "BW01", StartSource.CLOUD, Authority.CLOUD)
        return asyncio.create_task(self.crank.wish(wish))


@pytest.fixture
async def rig(harbour):
    journal, hands, clock, restarts = SlowJournal(), Hands(), HandClock(), []
    crank = Crank(
        SiteRules(harbour, "epoch"),
        journal,  # type: ignore[arg-type]
        clock,
        SiteState(),
        0,
        hardware=hands,
        outside=Outside(lambda question: None, restarts.append),
    )
    running = asyncio.create_task(crank.run(lambda: None))
    yield Rig(crank, journal, hands, clock, restarts)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def charging(rig: Rig) -> None:
    rig.see(Pilot.B)
    await rig.start()
    await rig.until(lambda: rig.hands.reads)
    rig.answer_meter(1_000)
    await rig.until(lambda: rig.hands.last(1).permit)


async def test_a_wish_is_answered_only_when_its_events_are_durable(rig):
    rig.journal.gate.clear()
    asking = rig.start()
    await rig.until(lambda: "SessionAuthorised" in rig.journal.types())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not asking.done()
    rig.journal.gate.set()
    assert (await asking).accepted


async def test_the_contactor_is_not_permitted_before_charging_started_is_durable(rig):
    rig.see(Pilot.B)
    await rig.start()
    await rig.until(lambda: rig.hands.reads)
    rig.journal.gate.clear()
    rig.answer_meter(1_000)
    await rig.until(lambda: "ChargingStarted" in rig.journal.types())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not rig.hands.last(1).permit
    rig.journal.gate.set()
    await rig.until(lambda: rig.hands.last(1).permit)


async def test_a_stop_reaches_the_hardware_before_it_is_durable(rig):
    await charging(rig)
    rig.journal.gate.clear()
    stopping = asyncio.create_task(
        rig.crank.wish(StopWish("w2", StartSource.CLOUD, connector_id=1))
    )
    await rig.until(lambda: not rig.hands.last(1).permit)
    assert not stopping.done()
    rig.journal.gate.set()
    assert (await stopping).accepted


async def test_grants_are_renewed_every_second_and_expire_by_themselves(rig):
    await charging(rig)
    first = rig.hands.last(1)
    rig.clock.advance(1_000)
    await rig.until(lambda: rig.hands.last(1).grant_expires_mono_ms > first.grant_expires_mono_ms)
    assert first.grant_expires_mono_ms - 10_000 == 6_000


async def test_an_unlock_is_told_once(rig):
    rig.see(Pilot.B)
    await rig.crank.wish(UnlockWish("u1", 1))
    await rig.until(lambda: any(each.unlock for each in rig.hands.targets))
    rig.clock.advance(1_000)
    await rig.until(lambda: not rig.hands.last(1).unlock)
    assert sum(each.unlock for each in rig.hands.targets) == 1


async def test_a_full_disk_refuses_new_sessions_in_words(rig):
    rig.journal.full = True
    outcome = await rig.start()
    assert not outcome.accepted
    assert "disk is full" in outcome.reason


@pytest.mark.parametrize("token", ["", "x" * 500, "half \ud800 pair"])
async def test_a_wish_that_no_event_can_hold_is_refused_and_harms_nobody(rig, token):
    wish = StartWish("w1", 1, token, StartSource.CSMS, Authority.CSMS)
    outcome = await rig.crank.wish(wish)
    assert not outcome.accepted
    assert outcome.reason
    assert rig.journal.types() == ["ConnectorChanged"] * len(rig.journal.rows)
    assert (await rig.start()).accepted


async def test_waiters_learn_of_a_changed_view(rig):
    waiting = asyncio.create_task(rig.crank.changed())
    await asyncio.sleep(0)
    rig.clock.advance(300)
    rig.see(Pilot.B)
    async with asyncio.timeout(5):
        await waiting
    assert rig.crank.view().connectors[1].plugged


async def test_a_wish_without_events_is_answered_too(rig):
    assert (await rig.crank.wish(TokensKnown(1, ()))).accepted
    assert rig.crank.view().revisions["tokens"] == 1


async def test_the_state_is_restored_from_snapshot_and_the_rows_after_it(tmp_path, harbour):
    journal = await Journal.open(
        tmp_path, "harbour", quota_bytes=64_000_000, mono_now=lambda: 10_000
    )
    try:
        crank = Crank(
            SiteRules(harbour, journal.epoch), journal, HandClock(), SiteState(), 0,
            hardware=Hands(), outside=Outside(lambda question: None, lambda hard: None),
        )  # fmt: skip
        running = asyncio.create_task(crank.run(lambda: None))
        await crank.wish(AvailabilityWish("a1", 1, operative=False, by="control"))
        await crank.snapshot().done()
        await crank.wish(AvailabilityWish("a2", 2, operative=False, by="control"))
        running.cancel()
        state, seq = await restore(journal)
        assert [state.connector(each).operative for each in (1, 2, 3)] == [False, False, True]
        assert seq == journal.last(Stream.EVENTS)
        document = await journal.document("snapshot:site")
        assert 0 < document["seq"] < seq
    finally:
        await journal.close()


async def test_a_snapshot_that_cannot_be_read_is_rebuilt_from_the_journal(tmp_path, harbour):
    journal = await Journal.open(
        tmp_path, "harbour", quota_bytes=64_000_000, mono_now=lambda: 10_000
    )
    try:
        event = AvailabilityChanged(connector=1, operative=False, by="control")
        broken = snapshot_document(SiteState(), 1)
        broken["snapshot:site"]["state"] = {"connectors": 7}
        await journal.submit(
            Write(events=[NewEvent(event, HandClock().now())], documents=broken)
        ).done()
        state, seq = await restore(journal)
        assert (state.connector(1).operative, seq) == (False, 1)
    finally:
        await journal.close()


def test_durations_survive_a_reboot():
    before = Instant(500_000, 1, 1_790_000_000_000)
    after = replace(before, mono_ms=1_000, boot=2, utc_ms=before.utc_ms + 60_000)
    assert elapsed_ms(before, after) == 60_000


def test_rows_are_not_kept_for_a_station_or_a_cloud_that_left_the_site_file(harbour):
    cursors = ["ocpp:HARBOUR-1", "ocpp:OLD", "sync:events", "sync:telemetry"]
    assert followers_gone(cursors, harbour) == ["ocpp:OLD"]
    alone = harbour.model_copy(update={"cloud": None})
    assert followers_gone(cursors, alone) == ["ocpp:OLD", "sync:events", "sync:telemetry"]
