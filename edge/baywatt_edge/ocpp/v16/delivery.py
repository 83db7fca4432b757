"""Which transaction message goes next, how often it is tried, and when the cursor may move.

1.6 sections 3.7 and 3.7.1. Being offline is no attempt, and neither is a silence of which nobody
knows whether the CSMS was there: after a time-out the connection is probed first.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from baywatt_contract.clock import Instant
from baywatt_edge.ocpp.effects import Notice, Probe, Save
from baywatt_edge.ocpp.frames import Json
from baywatt_edge.ocpp.rpc import Failure, FailureKind
from baywatt_edge.ocpp.v16.config import Config
from baywatt_edge.ocpp.v16.ledger import RELEVANT, Ledger, Row, TransactionMessage

_SAVE_EVERY_ROWS = 200
_LOOK_AHEAD = 1000


@dataclass(frozen=True, slots=True)
class Names:
    """What the station's cursor and its documents are called in the journal."""

    station: str

    @property
    def cursor(self) -> str:
        """The cursor over the events."""
        return f"ocpp:{self.station}"

    @property
    def transactions(self) -> str:
        """The document with the open transactions."""
        return f"ocpp:{self.station}:transactions"

    @property
    def config(self) -> str:
        """The document with the configuration."""
        return f"ocpp:{self.station}:config"


@dataclass(slots=True)
class _Head:
    """The message that is being delivered."""

    seq: int
    message: TransactionMessage
    failures: int = 0
    not_before_ms: int = 0
    doubtful_since_ms: int | None = None  # timed out, the probe's answer is awaited
    in_flight: bool = False


Emit = Callable[[Save | Notice | Probe], None]
Concluded = Callable[[TransactionMessage, Json | None, Instant], None]


class Delivery:
    """The queue of a station: rows in, one message at a time out, the cursor behind it."""

    def __init__(
        self,
        names: Names,
        ledger: Ledger,
        config: Config,
        emit: Emit,
        concluded: Concluded,
    ) -> None:
        self._names = names
        self._ledger = ledger
        self._config = config
        self._emit = emit
        self._concluded = concluded
        self._rows: deque[Row] = deque()
        self._head: _Head | None = None
        self._read_to = 0  # the last row taken in
        self._done_to = 0  # the last row that needs nothing more
        self._saved_to = 0
        self._writing = 0

    def load(self, cursor: int) -> None:
        """Begin behind the cursor."""
        self._read_to = self._done_to = self._saved_to = cursor

    @property
    def read_to(self) -> int:
        """Rows up to here need not be read again."""
        return self._read_to

    @property
    def wants_rows(self) -> bool:
        """Whether more rows may be handed in."""
        return len(self._rows) < _LOOK_AHEAD

    @property
    def queued(self) -> int:
        """How many rows wait, as far as they have been read."""
        return len(self._rows) + (self._head is not None)

    def rows(self, rows: Sequence[Row], now: Instant) -> None:
        """The next rows of the journal, in order."""
        for row in rows:
            self._read_to = row.seq
            if row.type in RELEVANT:
                self._rows.append(row)
        self._advance(now)

    def next_message(self, now: Instant) -> TransactionMessage | None:
        """The message to send now, if there is one and its wait is over."""
        self._advance(now)
        head = self._head
        if head is None or not self._ready(head) or now.mono_ms < head.not_before_ms:
            return None
        head.in_flight = True
        return head.message

    def next_due_ms(self) -> int | None:
        """When `next_message` will have something, if it only waits for time."""
        head = self._head
        return head.not_before_ms if head is not None and self._ready(head) else None

    def _ready(self, head: _Head) -> bool:
        """While the end of a Start or Stop is being written down the next message waits.

        So a crash repeats one of them at most; a repeated MeterValues harms nobody.
        """
        return not (head.in_flight or head.doubtful_since_ms is not None or self._writing)

    def outcome(self, outcome: Json | Failure, now: Instant) -> None:
        """What became of the message that was sent."""
        head = self._head
        if head is None or not head.in_flight:
            return
        head.in_flight = False
        if not isinstance(outcome, Failure):
            self._conclude(head, outcome, now)
        elif outcome.kind is FailureKind.TIMEOUT:
            head.doubtful_since_ms = now.mono_ms
            self._emit(Probe())
        elif outcome.kind is not FailureKind.LOST:
            self._failed(head, outcome.detail, now)

    def alive(self, now: Instant) -> None:
        """The CSMS gave a sign of life: a doubtful silence was its failure."""
        head = self._head
        if head is not None and head.doubtful_since_ms is not None:
            head.doubtful_since_ms = None
            self._failed(head, "no answer", now)

    def unsendable(self, detail: str, now: Instant) -> None:
        """The message does not fit its schema: it never will, so the queue goes on without it."""
        head = self._head
        if head is not None and head.in_flight:
            text = f"{head.message.action} of session {head.message.session} dropped: {detail}"
            self._emit(Notice(text, logging.ERROR))
            self._conclude(head, None, now)

    def lost(self) -> None:
        """The connection is gone: a doubtful silence was the line's."""
        if self._head is not None:
            self._head.doubtful_since_ms = None
            self._head.in_flight = False

    def _failed(self, head: _Head, detail: str, now: Instant) -> None:
        head.failures += 1
        what = f"{head.message.action} of session {head.message.session}"
        if head.failures >= self._config.integer("TransactionMessageAttempts"):
            text = f"{what} given up after {head.failures} attempts: the CSMS says {detail}"
            self._emit(Notice(text, logging.WARNING))
            self._conclude(head, None, now)
            return
        wait_s = self._config.integer("TransactionMessageRetryInterval") * head.failures
        head.not_before_ms = now.mono_ms + wait_s * 1000
        text = f"{what} failed ({detail}), attempt {head.failures}, again in {wait_s} s"
        self._emit(Notice(text, logging.WARNING if head.failures == 1 else logging.DEBUG))

    def _conclude(self, head: _Head, answer: Json | None, now: Instant) -> None:
        self._note_answer(head.message, answer)
        self._head = None
        self._done_to = head.seq
        self._save(wait=head.message.action != "MeterValues")
        self._concluded(head.message, answer, now)
        self._advance(now)

    def _note_answer(self, message: TransactionMessage, answer: Json | None) -> None:
        if message.action == "StartTransaction":
            number = None if answer is None else int(answer["transactionId"])
            accepted = answer is None or answer["idTagInfo"]["status"] == "Accepted"
            self._ledger.started(message.session, number, accepted=accepted)
        elif message.action == "StopTransaction":
            self._ledger.stopped(message.session)

    def _advance(self, now: Instant) -> None:
        """Pass over rows until one asks for a message."""
        while self._head is None and self._rows:
            row = self._rows.popleft()
            message = self._message_of(row, now)
            if message is None:
                self._done_to = row.seq
            else:
                self._head = _Head(row.seq, message)
        if self._head is not None:
            return  # the ledger has taken in the head's row already: its state goes with the head
        self._done_to = self._read_to
        if self._done_to - self._saved_to >= _SAVE_EVERY_ROWS:
            self._save()

    def _message_of(self, row: Row, now: Instant) -> TransactionMessage | None:
        """A row that cannot be read must not hold up the ones behind it."""
        try:
            return self._ledger.take(row, now)
        except ValueError as error:
            text = f"journal row {row.seq} ({row.type}) passed over: {error}"[:300]
            self._emit(Notice(text, logging.ERROR))
            return None

    def _save(self, *, wait: bool = False) -> None:
        """The cursor and what it stands for, in one write."""
        self._saved_to = self._done_to
        documents = {self._names.transactions: self._ledger.document()}
        cursors = {self._names.cursor: self._done_to}
        if wait:
            self._writing += 1
            self._emit(Save(documents, cursors, self._written))
        else:
            self._emit(Save(documents, cursors))

    def _written(self, _now: Instant) -> None:
        self._writing -= 1
