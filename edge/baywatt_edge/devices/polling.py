"""Reading one device's blocks in turn, routinely or on demand: the pure heart of every driver."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from baywatt_contract.clock import Instant
from baywatt_contract.observations import Quantity
from baywatt_edge.devices.blocks import Block
from baywatt_edge.devices.decode import decode_block
from baywatt_edge.devices.modbus_frames import Request
from baywatt_edge.devices.schedule import Priority, Want

DEMAND_PATIENCE_MS = 5000
"""An asked-for reading that cannot be had within this time is answered as invalid."""

_MAX_DEMANDS = 64


@dataclass(slots=True)
class Poll:
    """One complete reading; `started` is the moment when its first request left."""

    started: Instant
    tags: list[str]
    values: dict[Quantity, int] = field(default_factory=dict)
    raw: dict[str, int | float | str] = field(default_factory=dict)
    invalid: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Demand:
    tag: str
    asked_ms: int


class Polling:
    """Which block of `blocks` to read next, and when."""

    def __init__(self, unit: int, blocks: tuple[Block, ...], interval_ms: int) -> None:
        self._unit = unit
        self._blocks = blocks
        self._interval_ms = interval_ms
        self._due_ms = 0
        self._next = 0
        self._poll: Poll | None = None
        self._demands: deque[_Demand] = deque()
        self._taken: list[_Demand] = []

    def ask(self, tag: str, now_ms: int) -> str | None:
        """Want a reading that begins after this moment; returns a tag that had to give way."""
        self._demands.append(_Demand(tag, now_ms))
        return self._demands.popleft().tag if len(self._demands) > _MAX_DEMANDS else None

    def want(self) -> Want:
        """When the next block is due."""
        if self._demands:
            return Want(self._demands[0].asked_ms, Priority.DEMAND)
        if self._poll is not None:
            priority = Priority.DEMAND if self._poll.tags else Priority.POLL
            return Want(self._poll.started.mono_ms, priority)
        return Want(self._due_ms, Priority.POLL)

    def request(self, now: Instant) -> Request:
        """The read that leaves now."""
        if self._poll is None:
            self._poll = Poll(now, [demand.tag for demand in self._demands])
            self._taken = list(self._demands)
            self._demands.clear()
            self._next = 0
        block = self._blocks[self._next]
        return Request(self._unit, block.function, block.address, block.count)

    def take(self, words: tuple[int, ...], now: Instant) -> Poll | None:
        """The answer to the last request; the reading when it is complete."""
        poll = self._poll
        if poll is None:
            return None
        decoded = decode_block(self._blocks[self._next], words)
        poll.values.update(decoded.values)
        poll.raw.update(decoded.raw)
        poll.invalid += decoded.invalid
        self._next += 1
        if self._next < len(self._blocks):
            if self._demands and not poll.tags:
                self._finish(now)  # a routine reading gives way between two blocks
            return None
        self._finish(now)
        return poll

    def failed(self, now: Instant) -> None:
        """The last request brought nothing: begin anew, the demands stay."""
        if self._poll is not None and self._poll.tags:
            self._demands.extendleft(reversed(self._taken))
        self._finish(now)

    def _finish(self, now: Instant) -> None:
        if self._poll is not None:
            self._due_ms = max(self._poll.started.mono_ms + self._interval_ms, now.mono_ms)
        self._poll = None

    def given_up(self, now: Instant) -> list[str]:
        """Tags of demands that waited too long."""
        out = []
        while self._demands and now.mono_ms - self._demands[0].asked_ms >= DEMAND_PATIENCE_MS:
            out.append(self._demands.popleft().tag)
        return out
