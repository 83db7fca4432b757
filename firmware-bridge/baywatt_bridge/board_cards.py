"""Swipes at the board: each is repeated until the host has it, and forgotten when it is stale."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from baywatt_bridge.timing import Alarm

REPEAT_MS = 200
FORGET_MS = 10_000  # whoever waits longer has walked on or swipes again
MAX_WAITING = 4


@dataclass(frozen=True, slots=True)
class Swipe:
    """One card held to one reader."""

    counter: int
    channel: int
    uid: bytes
    at_ms: int


class CardQueue:
    """Swipes in order; only the oldest is on the line."""

    def __init__(self) -> None:
        """Empty, the first swipe has the counter 1."""
        self._counter = 0
        self._waiting: deque[Swipe] = deque(maxlen=MAX_WAITING)
        self._sent_ms: int | None = None

    def swipe(self, channel: int, uid: bytes, now_ms: int) -> None:
        """A card was read; with four waiting, the oldest is dropped."""
        if not 4 <= len(uid) <= 10:
            raise ValueError(f"a UID of {len(uid)} bytes; 4 to 10")
        self._counter = (self._counter + 1) & 0xFFFF
        if len(self._waiting) == MAX_WAITING:
            self._sent_ms = None
        self._waiting.append(Swipe(self._counter, channel, uid, now_ms))

    def acknowledge(self, counter: int) -> None:
        """The host has this swipe."""
        if self._waiting and self._waiting[0].counter == counter:
            self._waiting.popleft()
            self._sent_ms = None

    def due(self, alarm: Alarm) -> Swipe | None:
        """The swipe to send now, if any."""
        while self._waiting and alarm.now_ms >= self._waiting[0].at_ms + FORGET_MS:
            self._waiting.popleft()
            self._sent_ms = None
        if not self._waiting:
            return None
        if self._sent_ms is not None and not alarm.reached(self._sent_ms + REPEAT_MS):
            return None
        self._sent_ms = alarm.now_ms
        alarm.reached(alarm.now_ms + REPEAT_MS)
        return self._waiting[0]
