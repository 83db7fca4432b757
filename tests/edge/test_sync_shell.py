"""The sync agent against a real broker, with a model cloud on the other side of it."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from iotcore import Broker

from baywatt_contract.clock import ClockQuality, Instant, format_utc_ms
from baywatt_contract.envelope import pack, unpack, unpack_events
from baywatt_contract.events import BayChanged, ConnectorStatus, PowerSampled
from baywatt_contract.house import ConnectorView, SiteView, WhyStep
from baywatt_contract.messages import StateDocument
from baywatt_contract.observations import BayState
from baywatt_contract.site_file import Cloud
from baywatt_contract.topics import SiteTopics, StateTopic, UpTopic
from baywatt_contract.wishes import Outcome, ReservationsHeld, StartWish, TokensKnown, Wish
from baywatt_edge.journal import Journal, NewEvent, Stream, Write
from baywatt_edge.sync import SyncAgent

SITE = "harbour"
TOPICS = SiteTopics(SITE)
CLOUD_UTC_MS = 1_790_000_000_000


def mono_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class TurnableClock:
    """A clock nobody has set yet."""

    def __init__(self) -> None:
        self.quality = ClockQuality.UNSYNCED
        self.offset_ms = 0
        self.trusted: list[tuple[int, str]] = []

    def now(self) -> Instant:
        return Instant(mono_ms(), 1, mono_ms() + self.offset_ms, self.quality)

    def trust(self, utc_ms: int, source: str) -> None:
        self.trusted.append((utc_ms, source))
        self.offset_ms = utc_ms - mono_ms()
        self.quality = ClockQuality.SYNCED


class ListeningHouse:
    """Writes down every wish and shows one connector."""

    def __init__(self) -> None:
        self.wishes: list[Wish] = []
        self.power_w = 0
        self._changed = asyncio.Event()

    async def wish(self, wish: Wish) -> Outcome:
        self.wishes.append(wish)
        if isinstance(wish, StartWish) and wish.connector_id == 9:
            return Outcome(accepted=False, reason="no connector 9 here")
        return Outcome(accepted=True, session="s-1")

    def view(self) -> SiteView:
        shown = ConnectorView(
            1, "H-1", 1, ConnectorStatus.CHARGING, operative=True, power_w=self.power_w
        )
        return SiteView(SITE, Instant(mono_ms(), 1, CLOUD_UTC_MS), {1: shown}, {})

    def why(self, connector_id: int) -> list[WhyStep]:
        return []

    def draw(self, power_w: int) -> None:
        self.power_w = power_w
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self, after: Instant | None = None) -> None:
        await self._changed.wait()


@dataclass
class ModelCloud:
    """Commits, deduplicates and acknowledges like the real one, in memory."""

    client: aiomqtt.Client
    deaf: bool = False
    rows: dict[str, dict[int, Any]] = field(default_factory=lambda: {"events": {}, "telemetry": {}})
    deliveries: int = 0
    presence: list[dict[str, Any]] = field(default_factory=list)
    live: list[dict[str, Any]] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def run(self) -> None:
        await self.client.subscribe(f"{TOPICS.base}/up/#", qos=1)
        async for message in self.client.messages:
            async with self.changed:
                await self._take(message.topic.value.rpartition("/")[2], bytes(message.payload))
                self.changed.notify_all()

    async def _take(self, leaf: str, payload: bytes) -> None:
        if leaf == UpTopic.PRESENCE:
            self.presence.append(unpack(payload))
        elif leaf == UpTopic.LIVE:
            self.live.append(unpack(payload))
        else:
            self.deliveries += 1
            if not self.deaf:
                await self._commit(leaf, payload)

    async def _commit(self, stream: str, payload: bytes) -> None:
        events = unpack_events(payload)
        known = self.rows[stream]
        for event in events:
            known.setdefault(event.seq, event)
        upto = 0
        while upto + 1 in known:
            upto += 1
        ack = {
            "stream": stream,
            "epoch": events[0].epoch,
            "upto": upto,
            "missing": [],
            "now": format_utc_ms(CLOUD_UTC_MS),
        }
        await self.client.publish(TOPICS.ack, pack(ack), qos=1)

    async def until(self, met: Callable[[], object]) -> None:
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(lambda: bool(met())), 20)

    def of_type(self, name: str) -> list[dict[str, Any]]:
        return [event.data for event in self.rows["events"].values() if event.type == name]


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def broker(port: int) -> Iterator[Broker]:
    with Broker(port=port, listen="127.0.0.1", max_payload_size=262144) as running:
        yield running


@asynccontextmanager
async def cloud_at(port: int) -> AsyncIterator[ModelCloud]:
    async with aiomqtt.Client("127.0.0.1", port, identifier="cloud") as client:
        cloud = ModelCloud(client)
        running = asyncio.create_task(cloud.run())
        yield cloud
        running.cancel()


@dataclass
class Site:
    """An agent at work, and what it works with."""

    journal: Journal
    agent: SyncAgent
    house: ListeningHouse
    clock: TurnableClock
    task: asyncio.Task[Any]
    beats: list[int]

    def happens(self, *names: str) -> None:
        now = self.clock.now()
        payloads = [BayChanged(bay=name, state=BayState.OCCUPIED) for name in names]
        self.journal.submit(Write([NewEvent(each, now) for each in payloads]))

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task], timeout=10)
        await self.journal.close()


Starter = Callable[..., Awaitable[Site]]


@pytest.fixture
async def start(tmp_path: Path, port: int) -> AsyncIterator[Starter]:
    started: list[Site] = []

    async def start_(password: str | None = None) -> Site:
        journal = await Journal.open(
            tmp_path, SITE, quota_bytes=1 << 20, mono_now=mono_ms, hold_telemetry_s=0.05
        )
        house, clock, beats = ListeningHouse(), TurnableClock(), [0]
        cloud = Cloud(url=f"mqtt://127.0.0.1:{port}", username=SITE, password=password)
        # No jitter: the back-off then always begins at one second.
        agent = SyncAgent(SITE, cloud, journal, house, clock, "0.1.0", jitter=lambda: 0.0)
        run = agent.tasks()["sync"]

        def beat() -> None:
            beats[0] += 1

        site = Site(journal, agent, house, clock, asyncio.ensure_future(run(beat)), beats)
        started.append(site)
        return site

    yield start_
    for site in started:
        await site.stop()


def command(ident: str, kind: str, late: bool = False, **rest: object) -> bytes:
    until = CLOUD_UTC_MS + (-60_000 if late else 600_000)
    return pack(
        {
            "id": ident,
            "kind": kind,
            "sent_at": format_utc_ms(CLOUD_UTC_MS),
            "not_after": format_utc_ms(until),
            **rest,
        }
    )


async def test_rows_arrive_in_order_and_the_cursor_follows_the_cloud(
    broker: Broker, port: int, start: Starter
) -> None:
    async with cloud_at(port) as cloud:
        site = await start()
        site.happens("A1", "A2", "A3")
        site.journal.submit(Write([NewEvent(PowerSampled(connector=1), site.clock.now())]))
        await cloud.until(lambda: len(cloud.rows["events"]) == 3 and cloud.rows["telemetry"])
        assert [event.data["bay"] for event in cloud.rows["events"].values()] == ["A1", "A2", "A3"]
        await cloud.until(lambda: cloud.presence)
        birth = cloud.presence[0]
        assert birth["on"] is True
        assert birth["epoch"] == site.journal.epoch
        await until(lambda: site.agent.status()["unacked"] == 0)
        assert site.agent.status()["state"] == "connected"
        assert site.beats[0] > 0
        assert site.clock.trusted
        assert site.clock.trusted[0] == (CLOUD_UTC_MS, "cloud")


async def until(met: Callable[[], object]) -> None:
    """Wait for something local; the loop turns until it is so."""
    async with asyncio.timeout(20):
        while not met():
            await asyncio.sleep(0.005)


async def test_a_puback_alone_moves_nothing(broker: Broker, port: int, start: Starter) -> None:
    async with cloud_at(port) as cloud:
        cloud.deaf = True
        site = await start()
        site.happens("A1")
        await cloud.until(lambda: cloud.deliveries)
        assert site.agent.status()["unacked"] == 1
        assert await site.journal.cursor("sync:events") == 0


async def test_a_clean_end_says_goodbye(broker: Broker, port: int, start: Starter) -> None:
    async with cloud_at(port) as cloud:
        site = await start()
        await cloud.until(lambda: cloud.presence)
        await site.stop()
        await cloud.until(lambda: len(cloud.presence) == 2)
        assert cloud.presence[1] == {"on": False, "boot": 1}


async def test_a_broker_killed_in_between_costs_no_row_and_one_warning(
    broker: Broker, port: int, start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    async with cloud_at(port) as cloud:
        site = await start()
        site.happens("A1")
        await cloud.until(lambda: len(cloud.rows["events"]) == 1)
    with caplog.at_level(logging.WARNING, "baywatt_edge"):
        broker._process.kill()
        broker._process.wait(10)
        broker.stop()
        await until(lambda: site.agent.status()["state"] == "offline")
        site.happens("A2", "A3")
        await until(lambda: site.agent.status()["unacked"] == 2)
    assert [record.message for record in caplog.records if "cannot be reached" in record.message]
    assert len(caplog.records) == 1
    assert f"mqtt://127.0.0.1:{port}" in caplog.records[0].message
    broker.start()
    async with cloud_at(port) as cloud:
        await cloud.until(lambda: len(cloud.rows["events"]) >= 2)
        assert {event.data["bay"] for event in cloud.rows["events"].values()} >= {"A2", "A3"}
        await until(lambda: site.agent.status()["state"] == "connected")


async def test_commands_become_wishes_once_and_are_answered(
    broker: Broker, port: int, start: Starter
) -> None:
    async with cloud_at(port) as cloud:
        site = await start()
        await until(lambda: site.agent.status()["state"] == "connected")
        starting = command("c-1", "start", connector=1, data={"token": "04A1", "driver_id": "d"})
        for payload in (starting, starting):
            await cloud.client.publish(TOPICS.commands, payload, qos=1)
        for payload in (
            command("c-2", "start", connector=9, data={"token": "04A1"}),
            command("c-3", "dance"),
            command("c-4", "stop", late=True, data={"session": "s-1"}),
            command("c-5", "bundle"),
            command("c-6", "start", connector=1, data={}),
        ):
            await cloud.client.publish(TOPICS.commands, payload, qos=1)
        site.happens("A1")  # its acknowledgement tells the site the time to judge commands by
        await cloud.until(lambda: len(cloud.of_type("CommandRefused")) == 5)
        await cloud.until(lambda: cloud.of_type("CommandDone"))
        assert cloud.of_type("CommandDone") == [{"id": "c-1", "session": "s-1"}]
        reasons = {each["id"]: each["reason"] for each in cloud.of_type("CommandRefused")}
        assert reasons["c-2"] == "no connector 9 here"
        assert reasons["c-3"] == "unknown kind of command 'dance'"
        assert reasons["c-4"].startswith("too late")
        assert reasons["c-5"] == "this site cannot carry out 'bundle' yet"
        assert "token" in reasons["c-6"]
        assert [wish.wish_id for wish in site.house.wishes] == ["c-1", "c-2"]
        await site.stop()

        again = await start()
        await until(lambda: again.agent.status()["state"] == "connected")
        again.happens("A1")
        await cloud.client.publish(TOPICS.commands, starting, qos=1)
        await cloud.client.publish(TOPICS.commands, command("c-7", "unlock", connector=1), qos=1)
        await cloud.until(lambda: len(cloud.of_type("CommandDone")) == 2)
        assert [wish.wish_id for wish in again.house.wishes] == ["c-7"]


async def test_desired_state_is_held_confirmed_and_known_again_without_a_broker(
    broker: Broker, port: int, start: Starter
) -> None:
    booking = {"id": "b-1", "rev": 1, "evse": 1, "from": "2026-11-22T10:00:00Z",
               "to": "2026-11-22T11:00:00Z"}  # fmt: skip
    states = {
        StateTopic.RESERVATIONS: StateDocument.of(41, [booking]),
        StateTopic.TOKENS: StateDocument.of(3, [{"hash": "ab", "driver_id": "d"}]),
        StateTopic.TARIFFS: StateDocument.of(7, [{"id": "t"}]),
    }
    damaged = StateDocument.of(9, []).model_copy(update={"hash": "00"})
    async with cloud_at(port) as cloud:
        for leaf, document in states.items():
            payload = pack(document.model_dump(mode="json"))
            await cloud.client.publish(TOPICS.state(leaf), payload, qos=1, retain=True)
        await cloud.client.publish(
            TOPICS.state(StateTopic.SETTINGS), pack(damaged.model_dump(mode="json")), qos=1
        )
        site = await start()
        wanted = {"reservations": 41, "tokens": 3, "tariffs": 7}
        await cloud.until(lambda: cloud.presence and cloud.presence[-1].get("revisions") == wanted)
        older = pack(StateDocument.of(40, []).model_dump(mode="json"))
        await cloud.client.publish(TOPICS.state(StateTopic.RESERVATIONS), older, qos=1)
        site.happens("A1")
        await cloud.until(lambda: cloud.rows["events"])
        await site.stop()
        assert {type(wish) for wish in site.house.wishes} == {ReservationsHeld, TokensKnown}
    broker.stop()
    offline = await start()
    await until(lambda: len(offline.house.wishes) == 2)
    held = next(wish for wish in offline.house.wishes if isinstance(wish, ReservationsHeld))
    assert (held.rev, held.items[0].id) == (41, "b-1")


async def test_live_shows_a_change(broker: Broker, port: int, start: Starter) -> None:
    async with cloud_at(port) as cloud:
        site = await start()
        await cloud.until(lambda: cloud.live)
        site.house.draw(7360)
        await cloud.until(lambda: cloud.live[-1]["connectors"]["1"]["power_w"] == 7360)


async def test_a_large_backlog_travels_in_batches_within_the_wire_limit(
    broker: Broker, port: int, start: Starter
) -> None:
    async with cloud_at(port) as cloud:
        site = await start()
        for _ in range(10):
            site.happens(*[f"bay-{number}" for number in range(300)])
        await cloud.until(lambda: len(cloud.rows["events"]) == 3000)
        assert cloud.deliveries < 100
        await until(lambda: site.agent.status()["unacked"] == 0)
        assert site.journal.last(Stream.EVENTS) == 3000


async def test_refused_credentials_are_named_once_without_the_secret(
    port: int, start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    """CONNACK with return code 5 (MQTT 3.1.1, 3.2.2.3), as mosquitto and EMQX answer."""
    attempts = 0

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        await reader.read(4096)
        writer.write(b"\x20\x02\x00\x05")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", port)
    with caplog.at_level(logging.WARNING):
        site = await start("wrong-secret")
        await until(lambda: attempts == 3)
        assert site.agent.status()["state"] == "refused"
        await site.stop()
    server.close()
    await server.wait_closed()
    lines = [record.message for record in caplog.records if record.name.startswith("baywatt")]
    assert len(lines) == 1
    assert f"127.0.0.1:{port} refuses the credentials of 'harbour'" in lines[0]
    assert "correct username and password under [cloud]" in lines[0]
    assert "wrong-secret" not in caplog.text


async def test_the_right_credentials_are_let_in(port: int, start: Starter, tmp_path: Path) -> None:
    with guarded_broker(port, tmp_path / "rumqttd.toml"):
        site = await start("right-secret")
        await until(lambda: site.agent.status()["state"] == "connected")
        await site.stop()


@contextmanager
def guarded_broker(port: int, config: Path) -> Iterator[None]:
    """A broker that knows one pair of credentials."""
    config.write_text(
        f"""
        id = 0
        [router]
        id = 0
        max_connections = 100
        max_outgoing_packet_count = 200
        max_segment_size = 1048576
        max_segment_count = 10
        [v4.1]
        name = "guarded"
        listen = "127.0.0.1:{port}"
        next_connection_delay_ms = 1
        [v4.1.connections]
        connection_timeout_ms = 60000
        max_payload_size = 262144
        max_inflight_count = 100
        dynamic_filters = true
        auth = {{ {SITE} = "right-secret" }}
        """,
        encoding="ascii",
    )
    with Broker(config_path=str(config)):
        yield
