"""The calendar: no double booking on either database, and what a driver may do with a booking."""

from __future__ import annotations

import asyncio
from typing import Any

from httpx import AsyncClient
from sqlalchemy import select

from baywatt_cloud.charging import desired, sweeper
from baywatt_cloud.ingest.service import Ingest
from baywatt_cloud.kit.problems import PaymentDeclinedError
from baywatt_cloud.kit.services import Services
from baywatt_cloud.models import Booking, DesiredState, DomainEvent, Quote, UserToken
from baywatt_contract.clock import format_utc_ms
from baywatt_contract.envelope import pack_events
from baywatt_contract.events import ReservationApplied, ReservationNoShow, ReservationUsed
from baywatt_contract.messages import ReservationItem, StateDocument, token_hash
from baywatt_contract.topics import StateTopic, UpTopic

HOUR_MS = 3_600_000
Headers = dict[str, str]


def window(clock: Any, begin_h: float = 1, end_h: float = 2) -> dict[str, str]:
    now = clock.now_ms
    return {
        "from": format_utc_ms(now + round(begin_h * HOUR_MS)),
        "to": format_utc_ms(now + round(end_h * HOUR_MS)),
    }


async def book(api: AsyncClient, who: Headers, clock: Any, *at: float, **place: str) -> Any:
    body = (place or {"evse_id": "harbour.1", "bay_id": "harbour.A1"}) | window(clock, *at)
    return await api.post("/charging/booking", json=body, headers=who)


async def take(ingest: Ingest, *events: Any) -> None:
    [ack] = await ingest.take("harbour", UpTopic.EVENTS, pack_events(list(events)))
    assert ack.missing == []


async def test_a_booking_is_made_seen_and_cancelled(
    harbour: Any, api: AsyncClient, kim: Headers, clock: Any
) -> None:
    answer = await book(api, kim, clock)
    assert answer.status_code == 201
    made = answer.json()
    assert (made["status"], made["sync"], len(made["pin"])) == ("RESERVED", "pending", 6)
    url = f"/charging/booking/{made['booking_id']}"
    assert (await api.get(url, headers=kim)).json() == made
    assert (await api.delete(url, headers=kim)).json()["status"] == "CANCELLED"
    assert (await api.delete(url, headers=kim)).status_code == 200
    assert (await book(api, kim, clock)).status_code == 201, "the window is free again"


async def test_windows_may_touch_but_not_overlap(
    harbour: Any, api: AsyncClient, kim: Headers, lee: Headers, clock: Any
) -> None:
    await book(api, kim, clock, 1, 2)
    for begin, end in [(1, 2), (0.5, 1.5), (1.9, 3), (0, 9), (1.2, 1.4)]:
        answer = await book(api, lee, clock, begin, end)
        assert answer.status_code == 409
        assert answer.json()["type"].endswith("/taken")
        assert answer.headers["content-type"] == "application/problem+json"
    for begin, end in [(2, 3), (0.5, 1)]:
        assert (await book(api, lee, clock, begin, end)).status_code == 201


async def test_a_connector_takes_its_bay_along_and_a_bay_its_connector(
    harbour: Any, api: AsyncClient, kim: Headers, lee: Headers, clock: Any
) -> None:
    assert (await book(api, kim, clock, evse_id="harbour.1")).json()["bay_id"] == "harbour.A1"
    assert (await book(api, lee, clock, bay_id="harbour.A1")).status_code == 409
    assert (await book(api, lee, clock, bay_id="harbour.A2")).status_code == 201
    assert (await book(api, kim, clock, evse_id="harbour.2")).status_code == 409


async def test_twenty_racers_for_one_bay_have_exactly_one_winner(
    harbour: Any, api: AsyncClient, kim: Headers, lee: Headers, clock: Any
) -> None:
    for day in range(4):
        places = [{"evse_id": "harbour.3"}, {"bay_id": "harbour.A3"}]
        racers = [
            book(
                api, (kim, lee)[n % 2], clock, 24 * day + n / 50 + 1, 24 * day + 3, **places[n % 2]
            )
            for n in range(20)
        ]
        codes = sorted([answer.status_code for answer in await asyncio.gather(*racers)])
        assert codes == [201] + [409] * 19


async def test_windows_that_make_no_sense_are_refused(
    harbour: Any, api: AsyncClient, kim: Headers, clock: Any
) -> None:
    for at in [(1, 1.01), (1, 99), (-1, 1), (2, 1), (24 * 200, 24 * 200 + 1)]:
        answer = await book(api, kim, clock, *at)
        assert (answer.status_code, answer.json()["type"].rsplit("/")[-1]) == (422, "window")


BAD_BODIES: list[dict[str, Any]] = [
    {},
    {"evse_id": "harbour.1"},
    {"evse_id": "harbour.1", "from": "2026-09-21", "to": "x"},
    {"evse_id": "harbour.1", "from": "2026-09-21T17:00:00", "to": "2026-09-21T18:00:00"},
    {"evse_id": "a\x00b", "from": "2026-09-21T17:00:00Z", "to": "2026-09-21T18:00:00Z"},
    {"evse_id": "harbour.1", "from": 1e30, "to": 1e31},
    {"quote_id": ["x"]},
]


async def test_bodies_that_do_not_fit_name_the_field(
    harbour: Any, api: AsyncClient, kim: Headers
) -> None:
    for body in BAD_BODIES:
        answer = await api.post("/charging/booking", json=body, headers=kim)
        assert answer.status_code == 422, body
        assert answer.json()["errors"]


async def test_things_that_do_not_exist_or_belong_together_are_refused(
    harbour: Any, api: AsyncClient, kim: Headers, clock: Any
) -> None:
    assert (await book(api, kim, clock, evse_id="harbour.77")).status_code == 404
    assert (await book(api, kim, clock, bay_id="marina.A1")).status_code == 404
    answer = await book(api, kim, clock, evse_id="harbour.1", bay_id="harbour.A2")
    assert (answer.status_code, answer.json()["type"].rsplit("/")[-1]) == (409, "not-bookable")


async def test_a_foreign_booking_does_not_exist(
    harbour: Any, api: AsyncClient, kim: Headers, lee: Headers, operator: Headers, clock: Any
) -> None:
    url = f"/charging/booking/{(await book(api, kim, clock)).json()['booking_id']}"
    later = {"to": window(clock, 1, 4)["to"]}
    assert (await api.get(url, headers=lee)).status_code == 404
    assert (await api.delete(url, headers=lee)).status_code == 404
    assert (await api.post(url + "/extend", json=later, headers=lee)).status_code == 404
    assert (await api.get(url)).status_code == 401
    assert (await api.get(url, headers=operator)).status_code == 200
    assert (await api.get("/charging/bookings", headers=lee)).json()["items"] == []
    assert len((await api.get("/charging/bookings", headers=kim)).json()["items"]) == 1


async def test_extending_stops_before_the_next_booking(
    harbour: Any, api: AsyncClient, kim: Headers, lee: Headers, clock: Any
) -> None:
    url = f"/charging/booking/{(await book(api, kim, clock, 1, 2)).json()['booking_id']}/extend"
    next_one = (await book(api, lee, clock, 3, 4)).json()
    late = await api.post(url, json={"to": window(clock, 1, 3.5)["to"]}, headers=kim)
    assert (late.status_code, late.json()["until"]) == (409, next_one["from"])
    good = await api.post(url, json={"to": next_one["from"]}, headers=kim)
    assert (good.status_code, good.json()["to"]) == (200, next_one["from"])
    assert (await book(api, lee, clock, 2.2, 2.8)).status_code == 409
    back = await api.post(url, json={"to": window(clock, 1, 2.5)["to"]}, headers=kim)
    assert back.status_code == 422


class Purse:
    """Payments that remember, and decline on demand."""

    def __init__(self, *, decline: bool = False) -> None:
        self.held: dict[str, int] = {}
        self.decline = decline

    async def hold(
        self, db: Any, user_id: str, amount_minor: int, currency: str, reference: str
    ) -> str:
        if self.decline:
            raise PaymentDeclinedError("no money")
        self.held[reference] = amount_minor
        return reference

    async def release(self, db: Any, hold_id: str) -> None:
        del self.held[hold_id]

    async def close(self) -> None:
        """Nothing is open."""


async def quoted(services: Services, api: AsyncClient, who: Headers, clock: Any) -> str:
    me = (await api.get("/auth/me", headers=who)).json()["user_id"]
    async with services.database.write() as db:
        db.add(
            Quote(
                id="qu_1", user_id=me, site_id="harbour", evse_id="harbour.1", bay_id=None,
                from_ms=clock.now_ms + HOUR_MS, to_ms=clock.now_ms + 2 * HOUR_MS,
                tariff_id="t", tariff_version=1, currency="EUR", likely_minor=900,
                worst_minor=1420, body={}, valid_until_ms=clock.now_ms + 600_000,
                created_ms=clock.now_ms,
            )
        )  # fmt: skip
    return "qu_1"


async def test_a_quote_is_booked_with_a_hold_that_cancelling_releases(
    harbour: Any, api: AsyncClient, kim: Headers, lee: Headers, services: Services, clock: Any
) -> None:
    services.payments = purse = Purse()
    body = {"quote_id": await quoted(services, api, kim, clock)}
    assert (await api.post("/charging/booking", json=body, headers=lee)).status_code == 404
    made = (await api.post("/charging/booking", json=body, headers=kim)).json()
    assert (made["evse_id"], made["quote_id"]) == ("harbour.1", "qu_1")
    assert purse.held == {made["booking_id"]: 1420}
    await api.delete(f"/charging/booking/{made['booking_id']}", headers=kim)
    assert purse.held == {}


async def test_a_declined_hold_leaves_the_window_free(
    harbour: Any, api: AsyncClient, kim: Headers, services: Services, clock: Any
) -> None:
    services.payments = Purse(decline=True)
    body = {"quote_id": await quoted(services, api, kim, clock)}
    answer = await api.post("/charging/booking", json=body, headers=kim)
    assert (answer.status_code, answer.json()["type"].rsplit("/")[-1]) == (402, "payment-declined")
    assert (await book(api, kim, clock)).status_code == 201


async def test_an_old_quote_is_refused(
    harbour: Any, api: AsyncClient, kim: Headers, services: Services, clock: Any
) -> None:
    body = {"quote_id": await quoted(services, api, kim, clock)}
    clock.advance(hours=0.5)
    answer = await api.post("/charging/booking", json=body, headers=kim)
    assert (answer.status_code, answer.json()["type"].rsplit("/")[-1]) == (409, "quote-expired")


async def document(services: Services, clock: Any) -> StateDocument:
    async with services.database.write() as db:
        await desired.rebuild(db, "harbour", StateTopic.RESERVATIONS, clock())
    async with services.database.read() as db:
        row = await db.get_one(DesiredState, ("harbour", "reservations"))
    return StateDocument.model_validate(row.document)


async def test_the_site_gets_bookings_with_hashes_only_and_confirms_them(
    harbour: Any, api: AsyncClient, kim: Headers, ingest: Ingest, services: Services, clock: Any
) -> None:
    await api.post("/auth/tokens", json={"uid": "04a1b2c3"}, headers=kim)
    made = (await book(api, kim, clock)).json()
    first = await document(services, clock)
    item = ReservationItem.model_validate(first.items[0])
    assert (item.id, item.evse, item.bay, item.status) == (made["booking_id"], 1, "A1", "RESERVED")
    async with services.database.read() as db:
        uids = set(await db.scalars(select(UserToken.uid)))
    assert set(item.token_hashes) == {token_hash("harbour", uid) for uid in uids}
    assert len(item.token_hashes) == 2
    assert item.pin_hash == token_hash("harbour", made["pin"])
    await take(ingest, harbour.event(ReservationApplied(booking_id=item.id, rev=item.rev)))
    url = f"/charging/booking/{item.id}"
    assert (await api.get(url, headers=kim)).json()["sync"] == "applied"
    await api.post(url + "/extend", json={"to": window(clock, 1, 3)["to"]}, headers=kim)
    second = await document(services, clock)
    assert second.rev == first.rev + 1
    assert (await api.get(url, headers=kim)).json()["sync"] == "pending"
    assert await document(services, clock) == second, "unchanged content keeps its revision"


async def test_a_used_booking_is_fulfilled_when_the_session_ends(
    harbour: Any, api: AsyncClient, kim: Headers, ingest: Ingest, services: Services, clock: Any
) -> None:
    made = (await book(api, kim, clock)).json()["booking_id"]
    url = f"/charging/booking/{made}"
    visit = harbour.visit(booking_id=made)
    await take(ingest, visit[0], *visit[1:])
    used = harbour.event(ReservationUsed(booking_id=made, connector=1, session="s1"))
    await take(ingest, used)  # late: the booking stays what it is
    assert (await api.get(url, headers=kim)).json()["status"] == "FULFILLED"
    session = (await api.get("/charging/sessions/s1", headers=kim)).json()
    assert (session["booking_id"], session["energy_wh"]) == (made, 5000)
    assert (await book(api, kim, clock)).status_code == 201, "the rest of the window is free"


async def test_a_no_show_is_the_sites_word(
    harbour: Any, api: AsyncClient, kim: Headers, ingest: Ingest, clock: Any
) -> None:
    made = (await book(api, kim, clock)).json()["booking_id"]
    said = ReservationNoShow(booking_id=made, connector=1, held_ms=900_000, operative=True)
    await take(ingest, harbour.event(said))
    answer = (await api.get(f"/charging/booking/{made}", headers=kim)).json()
    assert (answer["status"], answer["reason"][:25]) == ("NO_SHOW", "nobody came within 15 min")


async def test_an_unused_window_expires_and_its_money_is_released(
    harbour: Any, api: AsyncClient, kim: Headers, services: Services, clock: Any
) -> None:
    services.payments = purse = Purse()
    body = {"quote_id": await quoted(services, api, kim, clock)}
    made = (await api.post("/charging/booking", json=body, headers=kim)).json()["booking_id"]
    clock.advance(hours=2.2)
    assert await sweeper.sweep(services) == 0
    clock.advance(hours=0.1)
    assert await sweeper.sweep(services) == 1
    async with services.database.read() as db:
        assert (await db.get_one(Booking, made)).status == "EXPIRED"
        assert "ReservationExpired" in set(await db.scalars(select(DomainEvent.type)))
    assert purse.held == {}


async def test_a_bay_is_reserved_without_its_plug(
    harbour: Any, api: AsyncClient, kim: Headers, clock: Any
) -> None:
    body = {"bay_id": "harbour.A2", **window(clock)}
    answer = await api.post("/parking/reserve", json=body, headers=kim)
    assert answer.status_code == 201
    assert (answer.json()["bay_id"], answer.json()["evse_id"]) == ("harbour.A2", None)
    assert (await api.post("/parking/reserve", json=body, headers=kim)).status_code == 409
    start = {"booking_id": answer.json()["booking_id"]}
    assert (await api.post("/charging/start", json=start, headers=kim)).status_code == 409
