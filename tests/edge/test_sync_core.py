"""The sync core in virtual time: a lossy, duplicating, reordering link, partitions and restarts."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baywatt_contract.clock import ClockQuality, Instant, format_utc_ms
from baywatt_contract.envelope import MAX_WIRE_BYTES, Event, pack, unpack, unpack_events
from baywatt_contract.events import CommandDone, CommandRefused
from baywatt_contract.messages import Ack, CommandKind, StateDocument
from baywatt_contract.topics import SiteTopics, StateTopic
from baywatt_contract.wishes import LimitWish, Outcome, StartWish
from baywatt_edge.sync.core import (
    JUDGE_WITHIN_MS,
    Advance,
    Answer,
    Carry,
    Effect,
    Hold,
    Identity,
    Note,
    Outgoing,
    SyncCore,
    TellTime,
)
from baywatt_edge.sync.outbox import RESEND_MAX_MS, RESEND_MS, WINDOW, Outbox

UTC = 1_790_000_000_000
TOPICS = SiteTopics("harbour")
ME = Identity("harbour", "e1", 4, "0.1.0")


def event(seq: int, text: str = "") -> Event:
    return Event(
        id=f"harbour:e1:{seq}",
        type="BayChanged",
        time=format_utc_ms(UTC),
        mono_ms=0,
        boot=4,
        clock=ClockQuality.SYNCED,
        data={"text": text},
    )


def now(ms: int = 0, quality: ClockQuality = ClockQuality.SYNCED) -> Instant:
    return Instant(ms, 4, UTC + ms, quality)


def fresh(**cursors: int) -> SyncCore:
    return SyncCore(ME, cursors, jitter=lambda: 0.5)


def ack(upto: int, missing: list[tuple[int, int]] | None = None, epoch: str = "e1") -> bytes:
    body = {"stream": "events", "epoch": epoch, "upto": upto, "missing": missing or [],
            "now": format_utc_ms(UTC)}  # fmt: skip
    return pack(body)


def published(effects: list[Effect]) -> list[list[int]]:
    """The sequence numbers of every batch among the effects."""
    return [
        [each.seq for each in unpack_events(effect.payload)]
        for effect in effects
        if isinstance(effect, Outgoing) and effect.topic.endswith(("events", "telemetry"))
    ]


# A world of its own: site, link and cloud


@dataclass
class World:
    """Loses, repeats and delays every message by the dice; restarts lose the core's memory."""

    dice: random.Random
    loss: float
    repeat: float
    total: int
    core: SyncCore = field(default_factory=fresh)
    ms: int = 0
    rows: list[int] = field(default_factory=list)
    stored_cursor: int = 0
    older_cursor: int = 0
    arrived: dict[int, int] = field(default_factory=dict)  # the cloud's table: seq → order
    applied: list[int] = field(default_factory=list)
    wire: list[tuple[int, int, str, bytes]] = field(default_factory=list)
    number: int = 0
    down_until: int = 0

    def run(self) -> None:
        for _ in range(20_000):
            if self.stored_cursor == self.total:
                return
            self.turn()
        raise AssertionError(f"stuck at {self.stored_cursor} of {self.total}")

    def turn(self) -> None:
        if len(self.rows) < self.total and self.dice.random() < 0.5:
            grown = min(self.total, len(self.rows) + self.dice.randrange(1, 400))
            self.rows = list(range(1, grown + 1))
        fate = self.dice.random()
        if fate < 0.01:
            self.restart()
        elif fate < 0.03:
            self.partition()
        self.pump()
        self.advance()

    def restart(self) -> None:
        """Everything but the journal is forgotten, and its cursor is written lazily."""
        self.core = fresh(events=self.dice.choice([self.stored_cursor, self.older_cursor]))
        self.core.grown("events", len(self.rows))

    def partition(self) -> None:
        self.down_until = self.ms + self.dice.randrange(60_000)
        self.wire.clear()

    def pump(self) -> None:
        if self.ms < self.down_until:
            return
        while want := self.core.wanted("events"):
            batch = [event(seq) for seq in self.rows[want.after : want.after + want.limit]]
            if not batch:
                break
            self.send(self.core.offer("events", batch, self.ms))
        self.send(self.core.tick(now(self.ms)))

    def send(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Outgoing):
                self.post("up", effect.payload)
            elif isinstance(effect, Advance):
                assert effect.seq <= len(self.arrived), "the cursor ran ahead of the cloud"
                if self.dice.random() < 0.2:
                    self.older_cursor = self.stored_cursor
                self.stored_cursor = max(self.stored_cursor, effect.seq)

    def post(self, way: str, payload: bytes) -> None:
        assert len(payload) <= MAX_WIRE_BYTES
        for _ in range(1 + (self.dice.random() < self.repeat)):
            if self.dice.random() >= self.loss and self.ms >= self.down_until:
                self.number += 1
                at = self.ms + self.dice.randrange(3000)
                heapq.heappush(self.wire, (at, self.number, way, payload))

    def advance(self) -> None:
        deadline = self.core.next_deadline()
        times = [self.ms + 500, *(at for at, *_ in self.wire[:1])]
        times += [deadline] if deadline is not None else []
        self.ms = max(self.ms, min(times))
        while self.wire and self.wire[0][0] <= self.ms:
            _, _, way, payload = heapq.heappop(self.wire)
            if way == "up":
                self.ingest(payload)
            else:
                self.send(self.core.message(TOPICS.ack, payload, now(self.ms)))

    def ingest(self, payload: bytes) -> None:
        """What the cloud does: insert, ignore what is known, apply in order, acknowledge."""
        for each in unpack_events(payload):
            self.arrived.setdefault(each.seq, len(self.arrived))
        while len(self.applied) + 1 in self.arrived:
            self.applied.append(len(self.applied) + 1)
        upto, top = len(self.applied), max(self.arrived)
        missing = []
        seq = upto + 1
        while seq <= top and len(missing) < 10:
            if seq not in self.arrived:
                first = seq
                while seq not in self.arrived:
                    seq += 1
                missing.append((first, seq - 1))
            seq += 1
        self.post("down", ack(upto, missing))


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    loss=st.sampled_from([0.0, 0.1, 0.4]),
    repeat=st.sampled_from([0.0, 0.3]),
    total=st.integers(1, 4000),
)
def test_every_row_arrives_exactly_once_in_order_whatever_the_link_does(
    seed: int, loss: float, repeat: float, total: int
) -> None:
    world = World(random.Random(seed), loss, repeat, total)  # noqa: S311 - repeatable
    world.run()
    assert world.applied == list(range(1, total + 1))


# The window


def test_the_window_holds_eight_batches_of_five_hundred() -> None:
    core = fresh()
    sent = 0
    while want := core.wanted("events"):
        rows = [event(seq) for seq in range(want.after + 1, want.after + 1 + want.limit)]
        sent += len(published(core.offer("events", rows, 0)))
    assert sent == WINDOW == 8
    assert core.tick(now(RESEND_MS - 1)) == []


def test_batches_keep_to_the_wire_limit_even_when_nothing_deflates() -> None:
    noise = random.Random(1)  # noqa: S311 - repeatable
    rows = [event(seq, noise.randbytes(2000).hex()) for seq in range(1, 400)]
    core = fresh()
    messages = [each for each in core.offer("events", rows, 0) if isinstance(each, Outgoing)]
    assert len(messages) == WINDOW
    assert all(len(each.payload) <= MAX_WIRE_BYTES for each in messages)
    sent = [seq for batch in published([*messages]) for seq in batch]
    assert sent == list(range(1, len(sent) + 1))


def test_unanswered_batches_are_sent_again_ever_more_rarely() -> None:
    core = fresh()
    core.offer("events", [event(1)], 0)
    gaps, last = [], 0
    for _ in range(9):
        deadline = core.next_deadline()
        assert deadline is not None
        assert published(core.tick(now(deadline - 1))) == []
        assert published(core.tick(now(deadline))) == [[1]]
        gaps.append(deadline - last)
        last = deadline
    # 5 s · 2ⁿ up to 5 min, each with half of the quarter of jitter
    assert gaps == [round(min(RESEND_MAX_MS, RESEND_MS * 2**n) * 1.125) for n in range(9)]


def test_a_new_connection_sends_its_birth_and_what_is_in_flight_at_once() -> None:
    core = fresh()
    core.offer("events", [event(1)], 0)
    birth = core.connected(100)
    assert unpack(birth.payload)["on"] is True
    assert birth.retain
    assert published(core.tick(now(100))) == [[1]]


def test_only_what_is_missing_goes_again_and_the_rest_is_left_alone() -> None:
    core = fresh()
    for seq in (1, 2, 3, 4):
        core.offer("events", [event(seq)], 0)
    effects = core.message(TOPICS.ack, ack(1, [(2, 2)]), now(2000))
    assert published(effects) == [[2]]
    assert Advance("events", 1) in effects
    # 3 may be on its way or not: only 4 lies beyond what the cloud has spoken about
    assert published(core.message(TOPICS.ack, ack(1, [(2, 2)]), now(2500))) == []


@pytest.mark.parametrize(
    "payload",
    [ack(5, epoch="other"), ack(6), b"", b"\x78rubbish", b"[]", b'{"stream":"events"}',
     pack({"stream": "events", "epoch": "e1", "upto": -1, "missing": [], "now": "2026"}),
     pack({"stream": "events", "epoch": "e1", "upto": 1, "missing": [], "now": "yesterday"})],
)  # fmt: skip
def test_a_foreign_or_senseless_acknowledgement_moves_nothing(payload: bytes) -> None:
    core = fresh()
    core.offer("events", [event(seq) for seq in range(1, 6)], 0)
    effects = core.message(TOPICS.ack, payload, now())
    assert not [each for each in effects if isinstance(each, Advance)]
    assert core.cursor("events") == 0


def test_a_late_acknowledgement_never_takes_the_cursor_back() -> None:
    core = fresh(events=10)
    assert not [
        each for each in core.message(TOPICS.ack, ack(4), now()) if isinstance(each, Advance)
    ]
    assert core.cursor("events") == 10


def test_a_cloud_restored_from_a_backup_gets_the_rows_once_more() -> None:
    core = fresh(events=100)
    core.offer("events", [event(101)], 0)
    core.message(TOPICS.ack, ack(50, [(51, 100)]), now(2000))
    want = core.wanted("events")
    assert want is not None
    assert want.after == 50
    effects = core.offer("events", [event(seq) for seq in range(71, 102)], 2000)
    assert published(effects) == [list(range(71, 102))]
    notes = [each.text for each in effects if isinstance(each, Note)]
    assert notes
    assert "events 51 to 70" in notes[0]
    core.message(TOPICS.ack, ack(50, [(51, 70)]), now(60_000))
    want = core.wanted("events")
    assert want is not None
    assert want.after == 101, "it must not read again what is gone for ever"
    assert core.cursor("events") == 100


def test_an_outbox_asked_for_rows_that_are_all_gone_goes_on() -> None:
    outbox = Outbox("events", "e1", 100, lambda: 0.0)
    outbox.acknowledge(
        Ack(stream="events", epoch="e1", upto=0, missing=[(1, 100)], now="2026-01-01"), 60_000
    )
    want = outbox.wanted()
    assert want is not None
    assert want.after == 0
    assert outbox.offer([], 60_000) == ([], (1, 100))
    want = outbox.wanted()
    assert want is not None
    assert want.after == 100


def test_after_a_crash_the_cloud_may_know_more_than_the_lazily_stored_cursor() -> None:
    core = fresh(events=10)
    core.grown("events", 50_000)
    core.offer("events", [event(seq) for seq in range(11, 511)], 0)
    effects = core.message(TOPICS.ack, ack(40_000), now())
    assert Advance("events", 40_000) in effects
    want = core.wanted("events")
    assert want is not None
    assert want.after == 40_000


def test_a_journal_restored_from_an_old_copy_is_told_so() -> None:
    core = fresh(events=10)
    core.grown("events", 20)
    (effect,) = core.message(TOPICS.ack, ack(21), now())
    assert isinstance(effect, Note)
    assert "restored from an older copy" in effect.text
    assert core.cursor("events") == 10


# Commands


def command(ident: str = "c-1", kind: str = "start", late_ms: int = -60_000, **rest: Any) -> bytes:
    body = {"id": ident, "kind": kind, "sent_at": format_utc_ms(UTC),
            "not_after": format_utc_ms(UTC - late_ms), "connector": 1,
            "data": {"token": "04A1", "driver_id": "d-1"}}  # fmt: skip
    return pack({**body, **rest})


def test_a_command_is_carried_once_and_answered() -> None:
    core = fresh()
    effects = core.message(TOPICS.commands, command(), now())
    assert len(effects) == 1
    carry = effects[0]
    assert isinstance(carry, Carry)
    assert isinstance(carry.wish, StartWish)
    assert (carry.wish.wish_id, carry.wish.token) == ("c-1", "04A1")
    assert core.message(TOPICS.commands, command(), now()) == []
    done = core.answered(carry.command, Outcome(accepted=True, session="s"))
    assert done.event == CommandDone(id="c-1", session="s")
    refused = core.answered(carry.command, Outcome(accepted=False))
    assert refused.event == CommandRefused(id="c-1", reason="refused")


def test_a_command_answered_before_the_restart_is_not_carried_again() -> None:
    core = SyncCore(ME, {}, lambda: 0.0, seen={"c-1"})
    assert core.message(TOPICS.commands, command(), now()) == []


def test_a_late_command_is_refused_never_carried_out() -> None:
    effects = fresh().message(TOPICS.commands, command(late_ms=1), now())
    assert len(effects) == 1
    assert isinstance(effects[0], Answer)
    assert isinstance(effects[0].event, CommandRefused)
    assert effects[0].event.reason.startswith("too late")


def test_without_a_clock_of_its_own_the_cloud_s_clock_judges() -> None:
    core = fresh()
    wrong = Instant(5_000, 4, 0, ClockQuality.UNSYNCED)
    assert core.message(TOPICS.commands, command("c-1"), wrong) == []
    assert core.message(TOPICS.commands, command("c-2", late_ms=1), wrong) == []
    effects = core.message(TOPICS.ack, ack(0), wrong)
    assert TellTime(UTC) in effects
    assert [type(each) for each in effects if not isinstance(each, TellTime)] == [Carry, Answer]
    # Now the cloud's clock is known and goes on with our monotonic one: 61 s later it is too late.
    later = Instant(66_001, 4, 0, ClockQuality.UNSYNCED)
    (effect,) = core.message(TOPICS.commands, command("c-3"), later)
    assert isinstance(effect, Answer)


@pytest.mark.parametrize(
    ("quality", "expected"), [(ClockQuality.UNSYNCED, Answer), (ClockQuality.HELD, Carry)]
)
def test_a_command_that_no_clock_comes_to_judge_is_settled_after_a_while(
    quality: ClockQuality, expected: type[Effect]
) -> None:
    core = fresh()
    assert core.message(TOPICS.commands, command(), now(0, quality)) == []
    assert core.next_deadline() == JUDGE_WITHIN_MS
    assert core.tick(now(JUDGE_WITHIN_MS - 1, quality)) == []
    (effect,) = core.tick(now(JUDGE_WITHIN_MS, quality))
    assert isinstance(effect, expected)


def test_a_limit_expires_by_the_monotonic_clock() -> None:
    core = fresh()
    payload = command(kind="limit", data={"limit_ma": 6000, "seconds": 30})
    (effect,) = core.message(TOPICS.commands, payload, now(1000))
    assert isinstance(effect, Carry)
    assert effect.wish == LimitWish("c-1", 1, "cloud", 6000, 31_000)


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        ({"kind": "dance"}, "unknown kind"),
        ({"kind": ["start"]}, "unknown kind"),
        ({"not_after": "soon"}, "Invalid isoformat"),
        ({"kind": "unlock", "connector": None}, "needs a connector"),
        ({"kind": "stop", "connector": None, "data": {}}, "needs a session"),
        ({"kind": "availability", "data": {}}, "operative"),
        ({"kind": "limit", "data": {"limit_ma": -1}}, "limit_ma"),
        ({"data": {"token": ""}}, "token"),
        ({"connector": 70_000}, "connector"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused_in_words(
    rest: dict[str, Any], reason: str
) -> None:
    (effect,) = fresh().message(TOPICS.commands, command(**rest), now())
    assert isinstance(effect, Answer)
    assert isinstance(effect.event, CommandRefused)
    assert reason in effect.event.reason


@settings(max_examples=100, deadline=None)
@given(
    topic=st.sampled_from(
        [TOPICS.ack, TOPICS.commands, *(TOPICS.state(leaf) for leaf in StateTopic), "other"]
    ),
    payload=st.binary(max_size=200)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["id", "kind", "rev", "items", "hash", "not_after", "x"]), inner
            )
        ),
    ).map(pack),
)
def test_garbage_never_crashes(topic: str, payload: bytes) -> None:
    for effect in fresh().message(topic, payload, now()):
        assert isinstance(effect, Note | Answer)


# Desired state


def state(rev: int, items: list[dict[str, Any]], **rest: Any) -> bytes:
    return pack({**StateDocument.of(rev, items).model_dump(mode="json"), **rest})


def test_a_newer_state_is_held_and_confirmed_an_older_one_ignored() -> None:
    core = fresh()
    topic = TOPICS.state(StateTopic.TARIFFS)
    (effect,) = core.message(topic, state(7, [{"id": "t"}]), now())
    assert isinstance(effect, Hold)
    assert core.revisions == {}, "not before it is stored"
    (birth,) = core.held(effect.leaf, effect.document.rev)
    assert isinstance(birth, Outgoing)
    assert unpack(birth.payload)["revisions"] == {"tariffs": 7}
    assert core.message(topic, state(7, [{"id": "t"}]), now()) == []
    assert core.message(topic, state(6, []), now()) == []
    assert core.message(topic, b"", now()) == []


@pytest.mark.parametrize(
    ("leaf", "payload", "says"),
    [
        (StateTopic.TARIFFS, state(1, [], hash="00"), "hash does not fit"),
        (StateTopic.TOKENS, state(1, [{"hash": "ab"}]), "driver_id"),
        (StateTopic.RESERVATIONS, state(1, [{"id": ""}]), "id"),
        (StateTopic.SETTINGS, b"{}", "rev"),
    ],
)
def test_a_damaged_state_is_passed_over_with_a_line(
    leaf: StateTopic, payload: bytes, says: str
) -> None:
    (effect,) = fresh().message(TOPICS.state(leaf), payload, now())
    assert isinstance(effect, Note)
    assert says in effect.text


def test_every_kind_of_command_is_known_or_refused() -> None:
    for kind in CommandKind:
        data = {"token": "x", "operative": True, "limit_ma": 1, "session": "s"}
        (effect,) = fresh().message(TOPICS.commands, command(kind=str(kind), data=data), now())
        refused = kind in {CommandKind.BUNDLE, CommandKind.UPDATE}
        assert isinstance(effect, Answer if refused else Carry)
