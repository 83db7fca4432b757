"""Live power over real sockets: WebSocket and server-sent events from a running server."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn
import websockets
from fastapi import FastAPI
from httpx import AsyncClient

from baywatt_cloud.admin import add_site
from baywatt_cloud.ingest.service import Ingest
from baywatt_cloud.kit.services import Services
from baywatt_contract.envelope import pack, pack_events
from baywatt_contract.topics import UpTopic


class Server:
    """The app behind uvicorn on a free port, with a driver and a running session."""

    def __init__(self, port: int, ingest: Ingest, talker: Any, headers: dict[str, str]) -> None:
        self.base = f"127.0.0.1:{port}"
        self.ingest = ingest
        self.talker = talker
        self.headers = headers
        self.token = headers["Authorization"].removeprefix("Bearer ")
        self.described = talker.described()
        self.visit = talker.visit()

    async def take(self, *events: Any) -> None:
        await self.ingest.take("harbour", UpTopic.EVENTS, pack_events(list(events)))

    async def show(self, power_w: int) -> None:
        connector = {"status": "Charging", "session": "s1", "power_w": power_w, "limit_ma": 16_000}
        live = {"at": "2026-09-21T14:13:20Z", "connectors": {"1": connector}}
        await self.ingest.take("harbour", UpTopic.LIVE, pack(live))


@pytest.fixture
async def server(
    app: FastAPI, services: Services, talker: Any, log_in: Any
) -> AsyncIterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_config=None, ws="websockets-sansio",
        timeout_graceful_shutdown=2,
    )  # fmt: skip
    running = uvicorn.Server(config)
    task = asyncio.create_task(running.serve())
    async with asyncio.timeout(20):
        while not running.started:
            await asyncio.sleep(0.01)
    async with AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        headers = await log_in(client, "kim@example.org")
        await client.post("/auth/tokens", json={"uid": "04A1B2C3"}, headers=headers)
    await add_site(services.database, "harbour")
    made = Server(port, Ingest(services), talker, headers)
    await made.take(made.described, *made.visit[:3])
    yield made
    running.should_exit = True
    await task


async def test_power_arrives_over_the_websocket_until_the_session_ends(server: Server) -> None:
    url = f"ws://{server.base}/charging/sessions/s1/live?access_token={server.token}"
    async with asyncio.timeout(20), websockets.connect(url) as socket_:
        first = json.loads(await socket_.recv())
        assert (first["status"], first["power_w"], first["stale"]) == ("charging", 0, True)
        await server.show(11_000)
        second = json.loads(await socket_.recv())
        assert (second["power_w"], second["limit_ma"], second["stale"]) == (11_000, 16_000, False)
        await server.take(*server.visit[3:])
        rest = [json.loads(message) async for message in socket_]
        assert (rest[-1]["status"], rest[-1]["energy_wh"]) == ("ended", 5000)
        assert socket_.close_code == 1000


@pytest.mark.parametrize(
    ("query", "headers", "code"),
    [
        ("", {}, 4401),
        ("?access_token=x.y.z", {}, 4401),
        ("", {"Origin": "https://evil.example", "Cookie": "baywatt_session={token}"}, 4401),
    ],
    ids=["nobody", "forged", "foreign page with our cookie"],
)
async def test_strangers_are_closed_out(
    server: Server, query: str, headers: dict[str, str], code: int
) -> None:
    filled = {name: value.format(token=server.token) for name, value in headers.items()}
    url = f"ws://{server.base}/charging/sessions/s1/live{query}"
    async with asyncio.timeout(20):
        async with websockets.connect(url, additional_headers=filled) as socket_:
            with pytest.raises(websockets.ConnectionClosed):
                await socket_.recv()
        assert socket_.close_code == code


async def test_a_foreign_session_is_closed_with_4404(server: Server, log_in: Any) -> None:
    async with AsyncClient(base_url=f"http://{server.base}") as client:
        lee = await log_in(client, "lee@example.org")
    url = f"ws://{server.base}/charging/sessions/s1/live"
    async with asyncio.timeout(20), websockets.connect(url, additional_headers=lee) as socket_:
        with pytest.raises(websockets.ConnectionClosed):
            await socket_.recv()
    assert socket_.close_code == 4404


async def read_events(server: Server, last_id: str = "") -> list[tuple[str, str]]:
    """(id, name) of every event until the stream ends."""
    found: list[tuple[str, str]] = []
    headers = server.headers | ({"Last-Event-ID": last_id} if last_id else {})
    url = f"http://{server.base}/charging/sessions/s1/events"
    async with httpx.AsyncClient() as client, client.stream("GET", url, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        event_id = ""
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                event_id = value
            elif name == "event":
                found.append((event_id, value))
                event_id = ""
    return found


async def test_server_sent_events_can_be_resumed_without_a_gap(server: Server) -> None:
    await server.take(*server.visit[3:])
    everything = [each for each in await read_events(server) if each[0]]
    names = [name for _, name in everything]
    assert names == [event.type for event in server.visit]
    resumed = [each for each in await read_events(server, everything[2][0]) if each[0]]
    assert resumed == everything[3:]


async def test_a_stream_ends_with_its_session(server: Server) -> None:
    reading = asyncio.create_task(read_events(server))
    await server.show(5000)
    await server.take(*server.visit[3:])
    async with asyncio.timeout(20):
        found = await reading
    stored = [name for event_id, name in found if event_id]
    assert stored == [event.type for event in server.visit]
    assert found[-1] == ("", "live")
