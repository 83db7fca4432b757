"""The sync protocol without a wire: messages and rows in, effects out. Pure; time is an argument.

What only the cloud's own word can settle waits here: rows for their acknowledgement, commands for
a clock to judge them by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from baywatt_contract.clock import ClockQuality, Instant, parse_utc_ms
from baywatt_contract.envelope import Event, pack, unpack
from baywatt_contract.events import CommandDone, CommandRefused
from baywatt_contract.messages import Ack, Command, Presence, StateDocument
from baywatt_contract.topics import SiteTopics, StateTopic, UpTopic
from baywatt_contract.wishes import Outcome, Wish
from baywatt_edge.sync.commands import Refusal, is_late, parse_command, to_wish
from baywatt_edge.sync.outbox import Jitter, Outbox, Wanted
from baywatt_edge.sync.states import parse_state

EVENTS, TELEMETRY = "events", "telemetry"
STREAMS = (EVENTS, TELEMETRY)
JUDGE_WITHIN_MS = 30_000
MAX_WAITING = 100

_RESTORED = (
    "the cloud has later rows of this journal than the journal itself: it was restored from an "
    "older copy. Move journal.db aside, so that a new epoch begins"
)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Advance:
    """The cloud has committed a stream up to here."""

    stream: str
    seq: int


@dataclass(frozen=True, slots=True)
class Carry:
    """Ask the site, then tell the core the outcome with `answered`."""

    command: Command
    wish: Wish


@dataclass(frozen=True, slots=True)
class Answer:
    """Journal this answer together with the mark that the command was answered."""

    id: str
    event: CommandDone | CommandRefused
    not_after_ms: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Store this desired state, tell the site, then confirm it by a new presence."""

    leaf: StateTopic
    document: StateDocument


@dataclass(frozen=True, slots=True)
class TellTime:
    """The cloud says what time it is."""

    utc_ms: int


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person should read once."""

    text: str


Effect = Outgoing | Advance | Carry | Answer | Hold | TellTime | Note


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is talking."""

    site: str
    epoch: str
    boot: int
    version: str


@dataclass(slots=True)
class _CloudClock:
    """The cloud's clock, carried on by our monotonic one."""

    utc_ms: int
    mono_ms: int


@dataclass(slots=True)
class SyncCore:
    """State of one site's conversation with the cloud, over all its connections."""

    me: Identity
    cursors: Mapping[str, int]
    jitter: Jitter
    revisions: dict[StateTopic, int] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    _outboxes: dict[str, Outbox] = field(init=False)
    _topics: SiteTopics = field(init=False)
    _waiting: list[tuple[Command, int]] = field(init=False, default_factory=list)
    _cloud: _CloudClock | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Begin where the cursors stand."""
        self._topics = SiteTopics(self.me.site)
        self._outboxes = {
            stream: Outbox(stream, self.me.epoch, self.cursors.get(stream, 0), self.jitter)
            for stream in STREAMS
        }

    # Who is there

    def will(self) -> Outgoing:
        """What the broker says for us when we are gone."""
        return self._presence(Presence(on=False, boot=self.me.boot))

    def birth(self) -> Outgoing:
        """Who is here, and which desired states it holds."""
        return self._presence(
            Presence(
                on=True,
                boot=self.me.boot,
                epoch=self.me.epoch,
                version=self.me.version,
                revisions=dict(self.revisions),
            )
        )

    def _presence(self, presence: Presence) -> Outgoing:
        payload = pack(presence.model_dump(mode="json", exclude_unset=True))
        return Outgoing(self._topics.up(UpTopic.PRESENCE), payload, retain=True)

    def subscriptions(self) -> list[str]:
        """The topics to hear."""
        return [self._topics.ack, self._topics.commands, f"{self._topics.base}/down/state/#"]

    def connected(self, now_ms: int) -> Outgoing:
        """A new connection: everything in flight is due again, the birth goes first."""
        for outbox in self._outboxes.values():
            outbox.reconnected(now_ms)
        return self.birth()

    # Rows

    def wanted(self, stream: str) -> Wanted | None:
        """Which rows of a stream may be offered, None while its window is full."""
        return self._outboxes[stream].wanted()

    def grown(self, stream: str, last: int) -> None:
        """The journal's last committed row; tell it before any message that may speak of it."""
        self._outboxes[stream].grown(last)

    def cursor(self, stream: str) -> int:
        """Up to where the cloud has committed."""
        return self._outboxes[stream].cursor

    def offer(self, stream: str, events: Sequence[Event], now_ms: int) -> list[Effect]:
        """Rows behind `wanted`; rows that do not fit are to be offered again."""
        payloads, (first, last) = self._outboxes[stream].offer(events, now_ms)
        effects: list[Effect] = [self._up(stream, payload) for payload in payloads]
        if last >= first:
            effects.append(
                Note(
                    f"the cloud asks for {stream} {first} to {last}, which this site no longer "
                    "keeps: restore the cloud's newest backup"
                )
            )
        return effects

    def tick(self, now: Instant) -> list[Effect]:
        """What is due now: batches to send again, commands that no clock came to judge."""
        effects: list[Effect] = [
            self._up(stream, payload)
            for stream, outbox in self._outboxes.items()
            for payload in outbox.due(now.mono_ms)
        ]
        waiting, self._waiting = self._waiting, []
        for command, since_ms in waiting:
            if now.mono_ms - since_ms < JUDGE_WITHIN_MS:
                self._waiting.append((command, since_ms))
            elif now.quality is ClockQuality.UNSYNCED:
                effects += self._refuse(command, "the site does not know the time yet")
            else:
                effects += self._judge(command, now, now.utc_ms)
        return effects

    def next_deadline(self) -> int | None:
        """When (monotonic) `tick` has something to do."""
        deadlines = [outbox.next_deadline() for outbox in self._outboxes.values()]
        deadlines += [since + JUDGE_WITHIN_MS for _, since in self._waiting]
        return min((at for at in deadlines if at is not None), default=None)

    def _up(self, stream: str, payload: bytes) -> Outgoing:
        return Outgoing(self._topics.up(UpTopic(stream)), payload)

    # Messages

    def message(self, topic: str, payload: bytes, now: Instant) -> list[Effect]:
        """Anything that arrives; what is no valid message becomes a Note."""
        try:
            if topic == self._topics.ack:
                return self._acknowledged(Ack.model_validate(unpack(payload)), now)
            if topic == self._topics.commands:
                return self._command(parse_command(payload), now)
            for leaf in StateTopic:
                if topic == self._topics.state(leaf):
                    return self._state(leaf, payload)
        except (
            ValueError,
            RecursionError,
        ) as error:  # all of the contract's errors are ValueErrors
            first = str(error).splitlines()[0][:200]
            return [Note(f"a message on {topic[:200]} is passed over: {first}")]
        return []

    def _acknowledged(self, ack: Ack, now: Instant) -> list[Effect]:
        utc_ms = parse_utc_ms(ack.now)
        if ack.epoch != self.me.epoch:
            return []
        outbox = self._outboxes[ack.stream]
        if not outbox.knows(ack):
            return [Note(_RESTORED)]
        before = outbox.cursor
        effects: list[Effect] = [
            self._up(ack.stream, payload) for payload in outbox.acknowledge(ack, now.mono_ms)
        ]
        if outbox.cursor > before:
            effects.insert(0, Advance(ack.stream, outbox.cursor))
        self._cloud = _CloudClock(utc_ms, now.mono_ms)
        effects.append(TellTime(utc_ms))
        waiting, self._waiting = self._waiting, []
        for command, _ in waiting:
            effects += self._judge(command, now, utc_ms)
        return effects

    def _command(self, command: Command | Refusal, now: Instant) -> list[Effect]:
        if command.id in self.seen:
            return []
        if isinstance(command, Refusal):
            return self._refuse(command, command.reason)
        self.seen.add(command.id)
        utc_ms = self._judging_time(now)
        if utc_ms is not None:
            return self._judge(command, now, utc_ms)
        if len(self._waiting) >= MAX_WAITING:
            return self._refuse(command, "too many commands wait for the site to know the time")
        self._waiting.append((command, now.mono_ms))
        return []

    def _judging_time(self, now: Instant) -> int | None:
        """UTC to judge a command by: our own clock if trusted, else the cloud's."""
        if now.quality is ClockQuality.SYNCED:
            return now.utc_ms
        if self._cloud is not None:
            return self._cloud.utc_ms + now.mono_ms - self._cloud.mono_ms
        return None

    def _judge(self, command: Command, now: Instant, utc_ms: int) -> list[Effect]:
        if is_late(command, utc_ms):
            return self._refuse(command, f"too late: it was to be done by {command.not_after}")
        wish = to_wish(command, now.mono_ms)
        if isinstance(wish, Refusal):
            return self._refuse(command, wish.reason)
        return [Carry(command, wish)]

    def _refuse(self, command: Command | Refusal, reason: str) -> list[Effect]:
        self.seen.add(command.id)
        until = parse_utc_ms(command.not_after) if isinstance(command, Command) else 0
        return [Answer(command.id, CommandRefused(id=command.id, reason=reason[:500]), until)]

    def answered(self, command: Command, outcome: Outcome) -> Answer:
        """What the site said to a carried command."""
        if outcome.accepted:
            event: CommandDone | CommandRefused = CommandDone(
                id=command.id, session=outcome.session
            )
        else:
            event = CommandRefused(id=command.id, reason=(outcome.reason or "refused")[:500])
        return Answer(command.id, event, parse_utc_ms(command.not_after))

    def _state(self, leaf: StateTopic, payload: bytes) -> list[Effect]:
        if not payload:
            return []  # a cleared retained message: the cloud sends the state again
        document = parse_state(leaf, payload)
        if document.rev <= self.revisions.get(leaf, -1):
            return []
        return [Hold(leaf, document)]

    def held(self, leaf: StateTopic, rev: int) -> Iterable[Effect]:
        """A desired state is stored and the site knows it: confirm the revision."""
        if rev <= self.revisions.get(leaf, -1):
            return []
        self.revisions[leaf] = rev
        return [self.birth()]
