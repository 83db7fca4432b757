"""Ingest: exactly once, in order, acknowledged after the commit; poison harms only its session."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from sqlalchemy import delete, func, select
from sqlalchemy.exc import OperationalError

from baywatt_cloud.admin import add_site
from baywatt_cloud.ingest.apply import APPLIERS
from baywatt_cloud.ingest.service import Ingest
from baywatt_cloud.kit.services import Services
from baywatt_cloud.models import (
    Bay,
    ChargingSession,
    Connector,
    DesiredState,
    DomainEvent,
    Fault,
    InboxEvent,
    LimitChange,
    MeterSample,
    ParkedSession,
    Site,
)
from baywatt_contract.envelope import Event, pack, pack_events
from baywatt_contract.events import (
    BayChanged,
    ConnectorChanged,
    FaultCleared,
    FaultRaised,
    MeterSampled,
    PowerSampled,
    SessionAuthorised,
    TelemetryDropped,
)
from baywatt_contract.messages import Ack
from baywatt_contract.topics import UpTopic


async def take(ingest: Ingest, events: list[Event], stream: UpTopic = UpTopic.EVENTS) -> list[Ack]:
    return await ingest.take("harbour", stream, pack_events(events))


async def count(services: Services, table: Any) -> int:
    async with services.database.read() as db:
        return int(await db.scalar(select(func.count()).select_from(table)) or 0)


async def domain_types(services: Services) -> list[str]:
    async with services.database.read() as db:
        return list(await db.scalars(select(DomainEvent.type).order_by(DomainEvent.id)))


async def the_session(services: Services, session: str = "s1") -> ChargingSession:
    async with services.database.read() as db:
        return await db.get_one(ChargingSession, session)


async def test_a_description_becomes_the_catalogue(harbour: Any, services: Services) -> None:
    async with services.database.read() as db:
        site = await db.get_one(Site, "harbour")
        assert (site.name, site.time_zone, site.fuse_a) == ("Harbour Street", "Europe/Berlin", 63)
        connector = await db.get_one(Connector, "harbour.1")
        assert (connector.number, connector.bay_id) == (1, "harbour.A1")
        assert await db.get(Bay, "harbour.A4")
    assert (await domain_types(services)).count("StationAdded") == 1


async def test_a_new_description_retires_what_it_no_longer_names(
    harbour: Any, ingest: Ingest, services: Services
) -> None:
    event = harbour.described()
    event.data["connectors"] = event.data["connectors"][:1]
    event.data["bays"] = ["A1"]
    await take(ingest, [event])
    async with services.database.read() as db:
        assert (await db.get_one(Connector, "harbour.1")).active
        assert not (await db.get_one(Connector, "harbour.2")).active
        assert not (await db.get_one(Bay, "harbour.A2")).active
    assert (await domain_types(services)).count("StationAdded") == 1


async def test_a_visit_becomes_a_session_with_its_evidence(
    harbour: Any, ingest: Ingest, services: Services
) -> None:
    [ack] = await take(ingest, harbour.visit())
    assert (ack.upto, ack.missing, ack.epoch) == (8, [], "e1")
    row = await the_session(services)
    assert (row.status, row.begin_wh, row.end_wh, row.limit_ma) == ("ended", 1000, 6000, 16_000)
    assert row.completed_ms is not None
    assert await count(services, MeterSample) == 3
    assert await count(services, LimitChange) == 2
    types = await domain_types(services)
    assert [types.count(name) for name in ("ChargingStarted", "ChargingCompleted")] == [1, 1]


async def test_duplicates_are_acknowledged_and_change_nothing(
    harbour: Any, ingest: Ingest, services: Services
) -> None:
    visit = harbour.visit()
    for _ in range(3):
        [ack] = await take(ingest, visit)
        assert ack.upto == 8
    assert await count(services, InboxEvent) == 8
    assert await count(services, MeterSample) == 3
    assert (await domain_types(services)).count("ChargingCompleted") == 1


async def test_a_gap_is_named_and_nothing_behind_it_is_applied(
    harbour: Any, ingest: Ingest, services: Services
) -> None:
    visit = harbour.visit()
    [ack] = await take(ingest, visit[3:])
    assert (ack.upto, ack.missing) == (1, [(2, 4)])
    assert await count(services, ChargingSession) == 0
    [ack] = await take(ingest, visit[:3])
    assert (ack.upto, ack.missing) == (8, [])
    assert (await the_session(services)).status == "ended"


@pytest.mark.parametrize("seed", range(2))
async def test_any_order_with_repeats_ends_in_the_same_ledger(
    harbour: Any, ingest: Ingest, services: Services, seed: int
) -> None:
    events = harbour.visit("s1") + harbour.visit("s2", wh=7777)
    pieces = [[event] for event in events * 2]
    random.Random(seed).shuffle(pieces)  # noqa: S311
    for piece in pieces:
        last = await take(ingest, piece)
    assert last[0].upto == 15
    for session, energy in (("s1", 5000), ("s2", 7777)):
        row = await the_session(services, session)
        assert (row.status, row.end_wh) == ("ended", 1000 + energy)
    assert await count(services, MeterSample) == 6
    assert (await domain_types(services)).count("ChargingCompleted") == 2


async def test_a_falling_register_parks_its_session_only(
    harbour: Any, ingest: Ingest, services: Services
) -> None:
    bad = harbour.visit("bad")
    bad[3].data["energy_wh"] = 3
    [ack] = await take(ingest, [*bad, *harbour.visit("good")])
    assert ack.upto == 15
    assert (await the_session(services, "good")).status == "ended"
    assert (await the_session(services, "bad")).status == "charging"
    async with services.database.read() as db:
        parked = await db.get_one(ParkedSession, ("bad", "harbour"))
        assert "fell from 1000 to 3" in parked.reason
    assert (await domain_types(services)).count("ChargingCompleted") == 1


POISON: list[dict[str, Any]] = [
    {"session": "s1", "connector": 1},
    {"session": "s1", "connector": "one", "energy_wh": 5},
    {"session": "s1", "connector": 1, "energy_wh": 10**30},
    {"session": "s1", "connector": 1, "energy_wh": 5, "note": "NUL \x00"},
    {"session": ["s1"], "connector": {}},
    {"session": "nobody", "connector": 1, "energy_wh": 5},
]


async def test_poison_is_stored_parked_and_acknowledged(
    harbour: Any, ingest: Ingest, services: Services
) -> None:
    begin = harbour.visit()[:2]
    await take(ingest, begin)
    for seq, data in enumerate(POISON, start=4):
        poison = harbour.event(MeterSampled(session="s1", connector=1, energy_wh=1))
        raw = poison.model_dump(mode="json") | {"id": f"harbour:e1:{seq}", "data": data}
        [ack] = await ingest.take("harbour", UpTopic.EVENTS, json.dumps([raw]).encode())
        assert ack.upto == seq
        async with services.database.write() as db:
            row = await db.get_one(InboxEvent, ("harbour", "events", "e1", seq))
            assert row.state == "parked"
            assert row.error
            await db.execute(delete(ParkedSession))


async def test_values_beyond_the_database_park_the_event_not_the_site(
    harbour: Any, ingest: Ingest, services: Services
) -> None:
    visit = harbour.visit()
    visit[5].data["duration_ms"] = 10**25
    [ack] = await take(ingest, visit)
    assert ack.upto == 8
    assert (await the_session(services)).status == "charging"
    [ack] = await take(ingest, harbour.visit("s2"))
    assert (await the_session(services, "s2")).status == "ended"


async def test_an_unknown_type_is_stored_for_later(
    harbour: Any, ingest: Ingest, services: Services
) -> None:
    event = harbour.event(BayChanged(bay="A1", state="occupied"), type="FromTheFuture", v=9)
    [ack] = await take(ingest, [event])
    assert ack.upto == 2
    async with services.database.read() as db:
        row = await db.get_one(InboxEvent, ("harbour", "events", "e1", 2))
        assert (row.state, row.type) == ("stored", "FromTheFuture")


async def test_a_site_cannot_speak_for_another(
    harbour: Any, ingest: Ingest, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = harbour.event(BayChanged(bay="A1", state="occupied"), id="marina:e1:2")
    before = await count(services, InboxEvent)
    assert await take(ingest, [foreign]) == []
    assert "an event of site 'marina' on the topic of 'harbour'" in caplog.text
    assert await count(services, InboxEvent) == before


async def test_an_unknown_site_is_told_how_to_be_added(
    ingest: Ingest, talker: Any, caplog: pytest.LogCaptureFixture
) -> None:
    talker.site = "marina"
    batch = pack_events([talker.described()])
    assert await ingest.take("marina", UpTopic.EVENTS, batch) == []
    assert "baywatt-cloud site add marina" in caplog.text


async def test_garbage_is_dropped(ingest: Ingest) -> None:
    for payload in (
        b"",
        b"\xff",
        b"{}",
        b"[1]",
        b"x\x9c\x00",
        b"[]",
        b"null",
        b"[NaN]",
        rb'["\ud800"]',
    ):
        for leaf in UpTopic:
            assert await ingest.take("harbour", leaf, payload) == []


async def test_a_session_of_another_site_is_out_of_reach(
    harbour: Any, ingest: Ingest, services: Services, clock: Any
) -> None:
    await take(ingest, harbour.visit()[:2])
    await add_site(services.database, "marina")
    other = type(harbour)(clock, site="marina")
    sample = other.event(MeterSampled(session="s1", connector=1, energy_wh=9_999_999))
    [ack] = await ingest.take("marina", UpTopic.EVENTS, pack_events([sample]))
    assert ack.upto == 1
    assert (await the_session(services)).last_wh == 1000


async def test_nothing_is_acknowledged_when_the_commit_fails(
    harbour: Any, ingest: Ingest, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_args: object) -> int:
        raise OperationalError("COMMIT", {}, Exception("disk full"))

    visit = harbour.visit()
    with monkeypatch.context() as patch:
        patch.setattr("baywatt_cloud.ingest.service.apply_all", broken)
        with pytest.raises(OperationalError):
            await take(ingest, visit)
    assert await count(services, InboxEvent) == 1
    [ack] = await take(ingest, visit)
    assert ack.upto == 8
    assert (await the_session(services)).status == "ended"


async def test_an_applier_with_a_bug_parks_the_event(
    harbour: Any, ingest: Ingest, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def buggy(*_args: object) -> None:
        raise KeyError("ours")

    monkeypatch.setitem(APPLIERS, "MeterSampled", buggy)
    [ack] = await take(ingest, harbour.visit())
    assert ack.upto == 8
    assert await count(services, ParkedSession) == 1


async def test_telemetry_has_its_own_stream_and_dropped_ranges_close_its_gaps(
    harbour: Any, ingest: Ingest, services: Services, clock: Any
) -> None:
    telemetry = type(harbour)(clock)
    events = [telemetry.event(PowerSampled(connector=1)) for _ in range(6)]
    [ack] = await take(ingest, [events[0], events[4]], UpTopic.TELEMETRY)
    assert (ack.stream, ack.upto, ack.missing) == ("telemetry", 1, [(2, 4)])
    acks = await take(ingest, [harbour.event(TelemetryDropped(from_seq=2, to_seq=4))])
    assert [(ack.stream, ack.upto) for ack in acks] == [("events", 2), ("telemetry", 5)]


async def test_a_new_epoch_starts_its_own_count(
    harbour: Any, ingest: Ingest, services: Services
) -> None:
    visit = harbour.visit()
    await take(ingest, visit[2:])  # waits for a gap that will never be filled
    harbour.epoch, harbour.seq = "e2", 0
    [ack] = await take(ingest, [harbour.described()])
    assert (ack.epoch, ack.upto) == ("e2", 1)
    async with services.database.read() as db:
        states = set(await db.scalars(select(InboxEvent.state).where(InboxEvent.epoch == "e1")))
    assert states == {"applied", "parked"}


async def test_connectors_bays_and_faults_follow_their_events(
    harbour: Any, ingest: Ingest, services: Services
) -> None:
    fault = {"fault": "residual-current", "connector": 1}
    payloads = [
        ConnectorChanged(connector=1, status="Charging", reason="swiped"),
        BayChanged(bay="A1", state="occupied"),
        FaultRaised.model_validate(fault),
        FaultCleared.model_validate(fault),
    ]
    await take(ingest, [harbour.event(payload) for payload in payloads])
    async with services.database.read() as db:
        connector = await db.get_one(Connector, "harbour.1")
        assert (connector.status, connector.status_reason) == ("Charging", "swiped")
        assert (await db.get_one(Bay, "harbour.A1")).state == "occupied"
        fault_row = (await db.scalars(select(Fault))).one()
        assert fault_row.cleared_ms is not None


async def test_an_authorised_visit_that_never_charges_completes_nothing(
    harbour: Any, ingest: Ingest, services: Services
) -> None:
    visit = harbour.visit()
    authorised, ended = visit[0], visit[-1]
    await take(ingest, [authorised, ended.model_copy(update={"id": "harbour:e1:3"})])
    assert (await the_session(services)).status == "aborted"
    assert "ChargingCompleted" not in await domain_types(services)


async def test_a_stranger_named_as_driver_is_not_believed(
    harbour: Any, ingest: Ingest, services: Services
) -> None:
    payload = SessionAuthorised(
        session="s1", connector=1, source="card", authority="cloud", token="X", token_hash="x",
        driver_id="us_nobody", booking_id="bk_nobody",
    )  # fmt: skip
    await take(ingest, [harbour.event(payload)])
    row = await the_session(services)
    assert (row.user_id, row.booking_id) == (None, None)


def presence(**revisions: int) -> bytes:
    return pack({"on": True, "boot": 4, "epoch": "e1", "version": "0.1", "revisions": revisions})


async def revision(services: Services, kind: str) -> tuple[int, int | None, int | None, bool]:
    async with services.database.read() as db:
        row = await db.get_one(DesiredState, ("harbour", kind))
        return row.rev, row.published_rev, row.applied_rev, row.dirty


async def test_a_birth_has_states_republished_that_differ(
    harbour: Any, ingest: Ingest, services: Services
) -> None:
    async with services.database.write() as db:
        for kind, rev in (("tokens", 3), ("tariffs", 7)):
            row = await db.get_one(DesiredState, ("harbour", kind))
            row.rev, row.published_rev, row.dirty = rev, rev, False
    await ingest.take("harbour", UpTopic.PRESENCE, presence(tokens=3, tariffs=6))
    assert await revision(services, "tokens") == (3, 3, 3, False)
    assert await revision(services, "tariffs") == (7, None, 6, False)


async def test_a_site_that_holds_more_than_we_know_is_overtaken(
    harbour: Any, ingest: Ingest, services: Services
) -> None:
    await ingest.take("harbour", UpTopic.PRESENCE, presence(reservations=41))
    assert await revision(services, "reservations") == (41, None, 41, True)


async def test_the_will_of_an_older_boot_is_passed_over(
    harbour: Any, ingest: Ingest, services: Services
) -> None:
    await ingest.take("harbour", UpTopic.PRESENCE, presence())
    await ingest.take("harbour", UpTopic.PRESENCE, pack({"on": False, "boot": 3}))
    async with services.database.read() as db:
        assert (await db.get_one(Site, "harbour")).online
    await ingest.take("harbour", UpTopic.PRESENCE, pack({"on": False, "boot": 4}))
    async with services.database.read() as db:
        assert not (await db.get_one(Site, "harbour")).online
