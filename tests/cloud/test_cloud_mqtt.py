"""The whole way over a real broker: events up, acknowledgement, commands and states down."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt
import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from iotcore import Broker

from baywatt_cloud.admin import add_site
from baywatt_cloud.app import create_app
from baywatt_cloud.kit.clock import system_clock
from baywatt_cloud.kit.services import Services
from baywatt_cloud.kit.settings import Settings
from baywatt_contract.envelope import Event, pack, pack_events, unpack
from baywatt_contract.events import CommandDone
from baywatt_contract.messages import Command, StateDocument, items_hash
from baywatt_contract.topics import SiteTopics, StateTopic, UpTopic

TOPICS = SiteTopics("harbour")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_broker(port: int) -> Broker:
    return Broker(port=port, listen="127.0.0.1", max_payload_size=262144)


@pytest.fixture
def broker() -> Iterator[Broker]:
    with make_broker(free_port()) as running:
        yield running


class Peer:
    """The site's end of the broker: what came down, by topic."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.received: list[tuple[str, Any]] = []
        self._news = asyncio.Event()

    async def listen(self) -> None:
        async for message in self.client.messages:
            assert isinstance(message.payload, bytes)
            self.received.append((message.topic.value, unpack(message.payload)))
            self._news.set()

    async def wait_for(self, topic: str, fits: Callable[[Any], bool] = lambda _: True) -> Any:
        async with asyncio.timeout(15):
            while True:
                for name, body in self.received:
                    if name == topic and fits(body):
                        return body
                self._news.clear()
                await self._news.wait()

    async def send(self, leaf: UpTopic, payload: bytes, *, retain: bool = False) -> None:
        await self.client.publish(TOPICS.up(leaf), payload, qos=1, retain=retain)

    async def send_events(self, *events: Event) -> None:
        await self.send(UpTopic.EVENTS, pack_events(list(events)))


@asynccontextmanager
async def peer(port: int) -> AsyncIterator[Peer]:
    async with aiomqtt.Client("127.0.0.1", port) as client:
        made = Peer(client)
        await client.subscribe(f"{TOPICS.base}/down/#", qos=1)
        await client.subscribe("baywatt/v1/domain/#", qos=1)
        listening = asyncio.create_task(made.listen())
        try:
            yield made
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


@pytest.fixture
def talking_app(database_url: str, broker: Broker) -> FastAPI:
    """An app with all its workers on the broker."""
    url = f"mqtt://127.0.0.1:{broker.port}"
    return create_app(Settings(database_url=database_url, mqtt_url=url))


@pytest.fixture
async def cloud(talking_app: FastAPI, serving: Any) -> AsyncIterator[AsyncClient]:
    services: Services = talking_app.state.services
    async with serving(talking_app) as client:
        await add_site(services.database, "harbour")
        yield client


def upto(seq: int) -> Callable[[Any], bool]:
    return lambda ack: ack["upto"] == seq and ack["stream"] == "events"


async def test_a_batch_is_acknowledged_and_seen_in_the_api(
    cloud: AsyncClient, broker: Broker, talker: Any
) -> None:
    async with peer(broker.port) as site:
        await site.send_events(talker.described())
        ack = await site.wait_for(TOPICS.ack, upto(1))
        assert (ack["epoch"], ack["missing"]) == ("e1", [])
        added = await site.wait_for("baywatt/v1/domain/search/StationAdded")
        assert added["data"]["station_id"] == "harbour"
    found = await cloud.get("/search/stations", params={"location": "53.5,10"})
    assert [each["station_id"] for each in found.json()["items"]] == ["harbour"]


async def test_states_are_retained_and_republished_after_a_birth(
    cloud: AsyncClient, broker: Broker, talking_app: FastAPI
) -> None:
    async with peer(broker.port) as site:
        for kind in StateTopic:
            body = await site.wait_for(TOPICS.state(kind))
            document = StateDocument.model_validate(body)
            assert document.hash == items_hash(document.items)
    async with peer(broker.port) as site:
        await site.wait_for(TOPICS.state(StateTopic.TOKENS))  # retained by the broker
        site.received.clear()
        birth = {"on": True, "boot": 1, "epoch": "e1", "revisions": {"tokens": 0}}
        await site.send(UpTopic.PRESENCE, pack(birth), retain=True)
        await site.wait_for(TOPICS.state(StateTopic.TOKENS))


async def test_a_command_goes_down_until_it_is_answered(
    cloud: AsyncClient, broker: Broker, talker: Any, log_in: Any
) -> None:
    kim = await log_in(cloud, "kim@example.org")
    async with peer(broker.port) as site:
        await site.send_events(talker.described())
        await site.wait_for(TOPICS.ack, upto(1))
        body = {"evse_id": "harbour.2"}
        answer = await cloud.post("/charging/start", json=body, headers=kim)
        assert answer.status_code == 202
        command = Command.model_validate(await site.wait_for(TOPICS.commands))
        assert (command.id, command.kind, command.connector) == (
            answer.json()["command_id"],
            "start",
            2,
        )
        me = (await cloud.get("/auth/me", headers=kim)).json()
        assert command.data == {"token": me["app_token"], "driver_id": me["user_id"]}
        await site.send_events(talker.event(CommandDone(id=command.id, session="s9")))
        await site.wait_for(TOPICS.ack, upto(2))
    seen = (await cloud.get(answer.headers["location"], headers=kim)).json()
    assert (seen["status"], seen["session_id"]) == ("DONE", "s9")


async def test_a_booking_reaches_the_site_within_seconds(
    cloud: AsyncClient, broker: Broker, talker: Any, log_in: Any
) -> None:
    talker.clock.now_ms = system_clock()
    kim = await log_in(cloud, "kim@example.org")
    async with peer(broker.port) as site:
        await site.send_events(talker.described())
        await site.wait_for(TOPICS.ack, upto(1))
        body = {"evse_id": "harbour.1", **talker.window(1, 2)}
        made = (await cloud.post("/charging/booking", json=body, headers=kim)).json()
        state = await site.wait_for(TOPICS.state(StateTopic.RESERVATIONS), lambda s: s["items"])
        assert state["items"][0]["id"] == made["booking_id"]
        birth = {"on": True, "boot": 1, "revisions": {"reservations": state["rev"]}}
        await site.send(UpTopic.PRESENCE, pack(birth), retain=True)
        await site.wait_for("baywatt/v1/domain/search/SiteOnline")
    seen = (await cloud.get(f"/charging/booking/{made['booking_id']}", headers=kim)).json()
    assert seen["sync"] == "applied"


async def test_it_survives_a_broker_that_dies_and_forgets(
    cloud: AsyncClient, broker: Broker, talker: Any, talking_app: FastAPI
) -> None:
    services: Services = talking_app.state.services
    async with peer(broker.port) as site:
        await site.send_events(talker.described())
        await site.wait_for(TOPICS.ack, upto(1))
    port = broker.port
    await asyncio.to_thread(broker.stop)
    async with asyncio.timeout(10):
        while services.broker_connected:
            await services.database.changed.wait_beyond(services.database.changed.count, 0.02)
    assert (await cloud.get("/health/ready")).json()["broker"] == "disconnected"
    with await asyncio.to_thread(make_broker(port).start):
        async with peer(port) as site:
            async with asyncio.timeout(20):
                while not services.broker_connected:
                    await services.database.changed.wait_beyond(
                        services.database.changed.count, 0.02
                    )
            await site.send_events(*talker.visit())
            await site.wait_for(TOPICS.ack, upto(8))
