"""One stream on its way to the cloud: a window of batches, each sent again until it is committed.

Pure: `now_ms` is monotonic time. The cursor moves on the cloud's acknowledgement alone; what a
broker says of a message does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from baywatt_contract.envelope import MAX_EVENTS, MAX_WIRE_BYTES, Event, pack_events
from baywatt_contract.messages import Ack

WINDOW = 8
RESEND_MS = 5_000
RESEND_MAX_MS = 300_000
_PLAIN_BYTES = 512 * 1024  # well below MAX_INFLATED_BYTES, and it seldom deflates to too much

Jitter = Callable[[], float]
"""A random number from 0 to 1."""


@dataclass(slots=True)
class Batch:
    """Consecutive events in flight."""

    first: int
    last: int
    payload: bytes
    attempts: int = 0
    due_ms: int = 0
    sent_ms: int = 0
    held: bool = False  # the cloud has it, but lacks something before it


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows the outbox can take now."""

    after: int
    limit: int


class Outbox:
    """The window of one stream."""

    def __init__(self, stream: str, epoch: str, cursor: int, jitter: Jitter) -> None:
        self.stream = stream
        self.cursor = cursor
        self._epoch = epoch
        self._jitter = jitter
        self._taken = cursor  # the last row that is in a batch
        self._last = cursor  # the last row that the journal has
        self._flight: list[Batch] = []
        self._rewound_ms = -RESEND_MS
        self._lost_upto = 0  # the cloud asked for rows up to here that are gone

    @property
    def in_flight(self) -> int:
        """How many batches wait for their acknowledgement."""
        return len(self._flight)

    @property
    def taken(self) -> int:
        """The last row that was taken into a batch."""
        return self._taken

    def grown(self, last: int) -> None:
        """The journal has rows up to `last`; nobody can acknowledge more."""
        self._last = max(self._last, last)

    def knows(self, ack: Ack) -> bool:
        """Whether the acknowledgement speaks of rows that this journal has."""
        return ack.upto <= self._last

    def wanted(self) -> Wanted | None:
        """What may be offered next, None while the window is full."""
        return Wanted(self._taken, MAX_EVENTS) if len(self._flight) < WINDOW else None

    def offer(self, events: Sequence[Event], now_ms: int) -> tuple[list[bytes], tuple[int, int]]:
        """Take rows behind `wanted().after` and return what to publish.

        Takes as many as the window and the wire allow; what is left will be wanted again. The
        second value is the range (inclusive) of rows that the cloud asked for and nobody has any
        more, (0, -1) if none.
        """
        gone = self._gone(events)
        self.grown(events[-1].seq if events else 0)
        payloads: list[bytes] = []
        while events and len(self._flight) < WINDOW:
            count, payload = _fill(events)
            batch = Batch(events[0].seq, events[count - 1].seq, payload)
            self._sent(batch, now_ms)
            self._flight.append(batch)
            self._taken = batch.last
            payloads.append(payload)
            events = events[count:]
        return payloads, gone

    def _gone(self, events: Sequence[Event]) -> tuple[int, int]:
        """After a rewind, the rows between what was asked for and what there still is."""
        if self._taken >= self.cursor:
            return 0, -1
        first = self._taken + 1
        last = min(events[0].seq - 1, self.cursor) if events else self.cursor
        self._lost_upto = max(self._lost_upto, last)
        self._taken = max(self._taken, last)
        return first, last

    def acknowledge(self, ack: Ack, now_ms: int) -> list[bytes]:
        """Take in what the cloud has committed; returns what to publish again at once."""
        if ack.epoch != self._epoch or not self.knows(ack):
            return []
        self.cursor = max(self.cursor, ack.upto)
        self._flight = [batch for batch in self._flight if batch.last > self.cursor]
        self._taken = max(self._taken, ack.upto)
        return self._missing(ack, now_ms)

    def _missing(self, ack: Ack, now_ms: int) -> list[bytes]:
        ranges = [(first, last) for first, last in ack.missing if first <= last]
        if not ranges:
            return []
        top = max(last for _, last in ranges)
        again: list[bytes] = []
        for batch in self._flight:
            wanted = any(first <= batch.last and batch.first <= last for first, last in ranges)
            batch.held = not wanted and batch.last <= top
            # An acknowledgement may have crossed the batch on its way: do not answer each of them.
            if wanted and now_ms - batch.sent_ms >= RESEND_MS // 5:
                self._sent(batch, now_ms)
                again.append(batch.payload)
        self._rewind(min(first for first, _ in ranges), now_ms)
        return again

    def _rewind(self, first: int, now_ms: int) -> None:
        """The cloud lost what it had acknowledged (a restored backup): read it once more."""
        oldest = self._flight[0].first if self._flight else self._taken + 1
        recent = now_ms - self._rewound_ms < RESEND_MS
        if first >= oldest or first > self.cursor or first <= self._lost_upto or recent:
            return
        self._rewound_ms = now_ms
        self._flight.clear()
        self._taken = first - 1

    def due(self, now_ms: int) -> list[bytes]:
        """What has waited too long for its acknowledgement."""
        late = [batch for batch in self._flight if not batch.held and batch.due_ms <= now_ms]
        for batch in late:
            self._sent(batch, now_ms)
        return [batch.payload for batch in late]

    def reconnected(self, now_ms: int) -> None:
        """Everything in flight may have been lost with the connection: it is due now."""
        for batch in self._flight:
            batch.due_ms, batch.attempts, batch.held = now_ms, 0, False

    def next_deadline(self) -> int | None:
        """When `due` is next worth asking."""
        return min((batch.due_ms for batch in self._flight if not batch.held), default=None)

    def _sent(self, batch: Batch, now_ms: int) -> None:
        wait_ms = min(RESEND_MAX_MS, RESEND_MS << min(batch.attempts, 10))
        batch.attempts += 1
        batch.sent_ms = now_ms
        batch.due_ms = now_ms + round(wait_ms * (1 + 0.25 * self._jitter()))


def _fill(events: Sequence[Event]) -> tuple[int, bytes]:
    """As many of the first events as fit one message; always at least one."""
    count, size = 0, 0
    for event in events[:MAX_EVENTS]:
        size += len(event.model_dump_json())
        if count and size > _PLAIN_BYTES:
            break
        count += 1
    while True:
        payload = pack_events(events[:count])
        if len(payload) <= MAX_WIRE_BYTES or count == 1:
            return count, payload
        count = max(1, count // 2)
