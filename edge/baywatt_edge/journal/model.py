"""What goes into the journal and what comes out of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from baywatt_contract.clock import Instant, format_utc_ms
from baywatt_contract.envelope import Event
from baywatt_contract.events import Payload, parse_payload

FORGET = -1
"""As a cursor's value: nobody follows under this name any more, hold no rows for it."""


class Stream(StrEnum):
    """The two gapless sequences; a payload's `class_a` says which one it goes to."""

    EVENTS = "events"  # class A: money and safety, never dropped
    TELEMETRY = "telemetry"  # class B: oldest dropped first, announced by TelemetryDropped

    @classmethod
    def of(cls, payload: Payload) -> Stream:
        """The stream that a payload belongs to."""
        return cls.EVENTS if payload.class_a else cls.TELEMETRY


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that has no place in a sequence yet."""

    payload: Payload
    at: Instant
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """An event in its place: `seq` is gapless within its stream and epoch."""

    stream: Stream
    seq: int
    type: str
    v: int
    at: Instant
    trace: str
    data: dict[str, Any]

    def payload(self) -> Payload | None:
        """The typed payload, None for a type of a newer program; raises ValidationError."""
        return parse_payload(self.type, self.data)

    def to_event(self, site: str, epoch: str) -> Event:
        """The row as it travels."""
        return Event(
            id=f"{site}:{epoch}:{self.seq}",
            type=self.type,
            v=self.v,
            time=format_utc_ms(self.at.utc_ms),
            mono_ms=self.at.mono_ms,
            boot=self.at.boot,
            clock=self.at.quality,
            trace=self.trace,
            data=self.data,
        )


@dataclass(frozen=True, slots=True)
class Write:
    """One transaction: events, documents (JSON values, None deletes) and cursors, all or nothing.

    A cursor named `…:telemetry` follows that stream, every other one follows the events. FORGET
    removes a cursor. A `lazy` write may be held like telemetry: for what costs nothing but repeated
    work if a power cut undoes it.
    """

    events: Sequence[NewEvent] = ()
    documents: Mapping[str, Any] = field(default_factory=dict)
    cursors: Mapping[str, int] = field(default_factory=dict)
    lazy: bool = False


class Commit:
    """A submitted write: its rows have their places at once, `done` waits for the disk."""

    __slots__ = ("_failure", "_settled", "_waiters", "rows")

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self._settled = False
        self._failure: Exception | None = None
        self._waiters: list[asyncio.Future[None]] = []

    async def done(self) -> None:
        """Return when the write survives a power cut; raises JournalFailedError if it never will.

        Telemetry that a full disk made the journal drop counts as done.
        """
        if not self._settled:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        if self._failure is not None:
            raise self._failure

    def settle(self, failure: Exception | None) -> None:
        """Called by the journal, once."""
        self._settled, self._failure = True, failure
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()
