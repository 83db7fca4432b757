"""Accounts, idempotent requests, search, health: the API's manners."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI
from httpx import AsyncClient
from sqlalchemy import func, select

from baywatt_cloud.ingest.service import Ingest
from baywatt_cloud.kit.services import Services
from baywatt_cloud.models import Booking, UserToken
from baywatt_contract.envelope import pack, pack_events
from baywatt_contract.events import AvailabilityChanged, BayChanged, ConnectorChanged
from baywatt_contract.topics import UpTopic

Headers = dict[str, str]


# --- accounts ------------------------------------------------------------------------------------


async def test_registering_logging_in_and_adding_a_card(api: AsyncClient, kim: Headers) -> None:
    me = (await api.get("/auth/me", headers=kim)).json()
    assert (me["email"], me["role"], me["cards"]) == ("kim@example.org", "driver", [])
    assert me["app_token"].startswith("BW")
    assert len(me["app_token"]) <= 20
    card = await api.post("/auth/tokens", json={"uid": "04a1b2c3"}, headers=kim)
    assert (card.status_code, card.json()["uid"]) == (201, "04A1B2C3")
    assert (await api.get("/auth/me", headers=kim)).json()["cards"] == ["04A1B2C3"]
    url = f"/auth/tokens/{card.json()['token_id']}"
    assert (await api.delete(url, headers=kim)).status_code == 204
    assert (await api.get("/auth/me", headers=kim)).json()["cards"] == []


async def test_a_card_and_an_address_belong_to_one_account(
    api: AsyncClient, kim: Headers, lee: Headers
) -> None:
    await api.post("/auth/tokens", json={"uid": "04A1B2C3"}, headers=kim)
    again = await api.post("/auth/tokens", json={"uid": "04a1b2c3"}, headers=lee)
    assert (again.status_code, again.json()["type"].rsplit("/")[-1]) == (409, "card-taken")
    body = {"email": "KIM@example.org", "password": "something long"}
    again = await api.post("/auth/register", json=body)
    assert (again.status_code, again.json()["type"].rsplit("/")[-1]) == (409, "email-taken")


async def test_wrong_credentials_and_tokens_are_401(
    api: AsyncClient, kim: Headers, clock: Any
) -> None:
    for name, secret in [("kim@example.org", "wrong"), ("nobody@example.org", "wrong")]:
        answer = await api.post("/auth/token", data={"username": name, "password": secret})
        assert answer.status_code == 401
        assert answer.json()["detail"] == "e-mail or password is wrong"
    for headers in ({}, {"Authorization": "Bearer x.y.z"}, {"Authorization": "Basic eDp5"}):
        answer = await api.get("/auth/me", headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    clock.advance(hours=13)
    assert (await api.get("/auth/me", headers=kim)).status_code == 401


async def test_every_private_route_wants_a_token(api: AsyncClient, app: FastAPI) -> None:
    public = {"/auth/register", "/auth/token", "/search/stations", "/parking/availability"}
    public |= {"/health/live", "/health/ready"}
    checked = 0
    for path, methods in app.openapi()["paths"].items():
        if path in public or not path.startswith(("/auth", "/charging", "/parking")):
            continue
        url = path.replace("{", "").replace("}", "")
        for method in methods:
            answer = await api.request(method, url, json={})
            assert answer.status_code == 401, (method, path)
            checked += 1
    assert checked >= 14


# --- idempotency ---------------------------------------------------------------------------------


async def test_a_repeated_request_gets_the_first_answer(
    harbour: Any, api: AsyncClient, kim: Headers, lee: Headers, services: Services
) -> None:
    body = {"evse_id": "harbour.1", **harbour.window(1, 2)}
    keyed = kim | {"Idempotency-Key": "k1"}
    first = await api.post("/charging/booking", json=body, headers=keyed)
    again = await api.post("/charging/booking", json=body, headers=keyed)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    other = await api.post("/charging/booking", json=body | {"bay_id": None}, headers=keyed)
    assert (other.status_code, other.json()["type"].rsplit("/")[-1]) == (
        422,
        "idempotency-key-reused",
    )
    foreign = await api.post(
        "/charging/booking", json=body, headers=lee | {"Idempotency-Key": "k1"}
    )
    assert foreign.status_code == 409, "keys are private: this one raced for the bay and lost"
    async with services.database.read() as db:
        assert await db.scalar(select(func.count()).select_from(Booking)) == 1


async def test_a_failed_request_may_be_repeated_with_its_key(
    harbour: Any, api: AsyncClient, kim: Headers, lee: Headers
) -> None:
    body = {"evse_id": "harbour.1", **harbour.window(1, 2)}
    made = (await api.post("/charging/booking", json=body, headers=lee)).json()
    keyed = kim | {"Idempotency-Key": "k1"}
    assert (await api.post("/charging/booking", json=body, headers=keyed)).status_code == 409
    await api.delete(f"/charging/booking/{made['booking_id']}", headers=lee)
    assert (await api.post("/charging/booking", json=body, headers=keyed)).status_code == 201


async def test_simultaneous_repeats_have_one_effect(
    harbour: Any, api: AsyncClient, kim: Headers, services: Services
) -> None:
    body = {"evse_id": "harbour.1", **harbour.window(1, 2)}
    keyed = kim | {"Idempotency-Key": "k1"}
    answers = await asyncio.gather(
        *(api.post("/charging/booking", json=body, headers=keyed) for _ in range(8))
    )
    kinds = {answer.json().get("type", "").rsplit("/")[-1] for answer in answers}
    assert kinds <= {"", "idempotency-in-flight"}
    made = {answer.json()["booking_id"] for answer in answers if answer.status_code == 201}
    assert len(made) == 1


# --- search and parking --------------------------------------------------------------------------


async def take(ingest: Ingest, *events: Any) -> None:
    await ingest.take("harbour", UpTopic.EVENTS, pack_events(list(events)))


async def stations(api: AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await api.get("/search/stations", params={"location": "53.55,9.97"} | query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_stations_are_found_by_what_a_driver_needs(harbour: Any, api: AsyncClient) -> None:
    [found] = await stations(api)
    assert (found["station_id"], found["distance_m"]) == ("harbour", 504)
    assert [each["evse_id"] for each in found["evses"]] == [f"harbour.{n}" for n in (1, 2, 3, 4)]
    [dc] = (await stations(api, min_power_w=40_000))[0]["evses"]
    assert (dc["evse_id"], dc["bay_id"]) == ("harbour.4", "harbour.A4")
    assert len((await stations(api, plug="type2-socket", bay="true"))[0]["evses"]) == 3
    assert await stations(api, q="HARBOUR s")
    assert await stations(api, q="50%_off") == []
    assert await stations(api, radius_m=100) == []
    assert await stations(api, location="-53.5,170") == []


async def test_a_booked_window_is_not_offered(harbour: Any, api: AsyncClient, kim: Headers) -> None:
    body = {"evse_id": "harbour.1", **harbour.window(1, 2)}
    await api.post("/charging/booking", json=body, headers=kim)
    inside = (await stations(api, **harbour.window(1.5, 3)))[0]["evses"]
    assert [each["evse_id"] for each in inside] == ["harbour.2", "harbour.3", "harbour.4"]
    assert len((await stations(api, **harbour.window(2, 3)))[0]["evses"]) == 4


async def test_a_silent_site_shows_unknown_never_free(
    harbour: Any, api: AsyncClient, ingest: Ingest, clock: Any
) -> None:
    await take(
        ingest,
        harbour.event(ConnectorChanged(connector=1, status="Available")),
        harbour.event(AvailabilityChanged(connector=2, operative=False, by="installer")),
        harbour.event(BayChanged(bay="A1", state="vacant")),
    )
    evses = (await stations(api))[0]["evses"]
    assert [(each["status"], each["free"]) for each in evses[:2]] == [
        ("Available", True),
        ("Unknown", False),
    ]
    parking = {"location": "53.55,9.97"}
    [bay, *_] = (await api.get("/parking/availability", params=parking)).json()["items"]
    assert (bay["bay_id"], bay["state"], bay["free"]) == ("harbour.A1", "vacant", True)
    clock.advance(seconds=121)
    evse = (await stations(api))[0]["evses"][0]
    assert (evse["status"], evse["bay_state"], evse["free"]) == ("Unknown", "unknown", False)
    [bay, *_] = (await api.get("/parking/availability", params=parking)).json()["items"]
    assert (bay["state"], bay["free"]) == ("unknown", False)


async def test_pages_are_walked_by_cursor(harbour: Any, api: AsyncClient) -> None:
    query = {"location": "53.55,9.97", "limit": 3}
    first = (await api.get("/parking/availability", params=query)).json()
    rest = (await api.get("/parking/availability", params=query | {"cursor": first["next"]})).json()
    ids = [each["bay_id"] for each in first["items"] + rest["items"]]
    assert (ids, rest["next"]) == ([f"harbour.A{n}" for n in (1, 2, 3, 4)], None)


async def test_queries_that_do_not_fit_are_422(api: AsyncClient) -> None:
    good = {"location": "53.5,10"}
    for query in [
        {},
        {"location": "north"},
        {"location": "91,0"},
        {"location": "nan,0"},
        good | {"from": "2026-09-21T10:00:00Z"},
        good | {"from": "2026-09-21T10:00:00Z", "to": "2026-09-21T09:00:00Z"},
        good | {"cursor": "!"},
        good | {"cursor": "w6Q="},
        good | {"q": "\x00"},
        good | {"limit": "0"},
    ]:
        answer = await api.get("/search/stations", params=query)
        assert answer.status_code == 422, query
        assert answer.headers["content-type"] == "application/problem+json"


# --- sessions and commands -----------------------------------------------------------------------


async def test_a_session_belongs_to_the_driver_of_its_card(
    harbour: Any, api: AsyncClient, kim: Headers, lee: Headers, operator: Headers, ingest: Ingest
) -> None:
    await api.post("/auth/tokens", json={"uid": "04A1B2C3"}, headers=kim)
    await take(ingest, *harbour.visit())
    for url in ("/charging/sessions/s1", "/charging/sessions/s1/explain"):
        codes = [(await api.get(url, headers=who)).status_code for who in (kim, lee, operator)]
        assert codes == [200, 404, 200]
    assert len((await api.get("/charging/sessions", headers=kim)).json()["items"]) == 1
    assert (await api.get("/charging/sessions", headers=lee)).json()["items"] == []
    stop = await api.post("/charging/stop", json={"session_id": "s1"}, headers=kim)
    assert (stop.status_code, stop.json()["type"].rsplit("/")[-1]) == (409, "wrong-state")


async def test_a_session_explains_itself(
    harbour: Any, api: AsyncClient, kim: Headers, ingest: Ingest
) -> None:
    await api.post("/auth/tokens", json={"uid": "04A1B2C3"}, headers=kim)
    await take(ingest, *harbour.visit())
    told = (await api.get("/charging/sessions/s1/explain", headers=kim)).json()
    assert [(each["limit_ma"], each["rule"]) for each in told["limits"]] == [
        (32_000, "cable"),
        (16_000, "share"),
    ]
    assert [each["energy_wh"] for each in told["readings"]] == [1000, 3500, 6000]
    assert told["parked"] is None


async def test_start_and_stop_make_commands_of_their_driver_only(
    harbour: Any, api: AsyncClient, kim: Headers, lee: Headers, ingest: Ingest, services: Services
) -> None:
    async with services.database.read() as db:
        token = await db.scalar(select(UserToken.uid).where(UserToken.kind == "app").limit(1))
    assert token
    start = await api.post("/charging/start", json={"evse_id": "harbour.1"}, headers=kim)
    assert start.status_code == 202
    url = start.headers["location"]
    assert (await api.get(url, headers=kim)).json()["status"] == "PENDING"
    assert (await api.get(url, headers=lee)).status_code == 404
    both = {"evse_id": "harbour.1", "booking_id": "b"}
    assert (await api.post("/charging/start", json=both, headers=kim)).status_code == 422
    early = {"evse_id": "harbour.1", **harbour.window(1, 2)}
    booking = (await api.post("/charging/booking", json=early, headers=kim)).json()["booking_id"]
    body = {"booking_id": booking}
    assert (await api.post("/charging/start", json=body, headers=kim)).status_code == 409
    assert (await api.post("/charging/start", json=body, headers=lee)).status_code == 404
    harbour.clock.advance(hours=1)
    assert (await api.post("/charging/start", json=body, headers=kim)).status_code == 202
    await api.post("/auth/tokens", json={"uid": "04A1B2C3"}, headers=kim)
    await take(ingest, *harbour.visit()[:2])
    stop = {"session_id": "s1"}
    assert (await api.post("/charging/stop", json=stop, headers=lee)).status_code == 404
    assert (await api.post("/charging/stop", json=stop, headers=kim)).status_code == 202


# --- operations ----------------------------------------------------------------------------------


async def test_health_metrics_and_description_answer(
    harbour: Any, api: AsyncClient, ingest: Ingest
) -> None:
    assert (await api.get("/health/live")).json()["status"] == "ok"
    ready = (await api.get("/health/ready")).json()
    assert (ready["status"], ready["broker"]) == ("ok", "not configured")
    await ingest.take("harbour", UpTopic.LIVE, pack({"nonsense": 1}))
    text = (await api.get("/metrics")).text
    assert 'baywatt_ingest_events_total{outcome="new"} 1.0' in text
    assert 'baywatt_ingest_refused_total{why="ValidationError"} 1.0' in text
    assert 'route="/health/ready"' in text
    assert (await api.get("/openapi.json")).json()["info"]["title"] == "Baywatt"


async def test_unknown_paths_and_methods_are_problems_too(api: AsyncClient) -> None:
    for method, path, status in [("GET", "/nowhere", 404), ("PUT", "/auth/token", 405)]:
        answer = await api.request(method, path)
        assert answer.status_code == status
        assert answer.json()["status"] == status
        assert answer.headers["content-type"] == "application/problem+json"
