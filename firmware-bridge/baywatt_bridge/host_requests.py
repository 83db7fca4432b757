"""Requests of the host: one at a time on the line, repeated until answered."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from baywatt_bridge.messages import ClearLatch, LatchAnswer, Parameters, SetParameters
from baywatt_bridge.timing import Alarm

Request = SetParameters | ClearLatch
Answer = Parameters | LatchAnswer

REPEAT_MS = 200
_MAX_WAITING = 32


class RequestQueue:
    """Numbers requests within a session; a board acts on each number once."""

    def __init__(self) -> None:
        """Nothing asked yet."""
        self._number = 0
        self._waiting: deque[tuple[int, Request]] = deque()
        self._sent_ms: int | None = None

    def ask(self, make: Callable[[int], Request]) -> None:
        """Queue what `make` builds from the request's number; beyond 32 raises ValueError."""
        if len(self._waiting) >= _MAX_WAITING:
            raise ValueError("the board leaves 32 requests unanswered")
        self._number = (self._number + 1) & 0xFFFF
        self._waiting.append((self._number, make(self._number)))

    def answered(self, answer: Answer) -> bool:
        """Whether this answers the request on the line; it is done then."""
        if not self._waiting or self._waiting[0][0] != answer.request:
            return False
        expected = Parameters if isinstance(self._waiting[0][1], SetParameters) else LatchAnswer
        if not isinstance(answer, expected):
            return False
        self._waiting.popleft()
        self._sent_ms = None
        return True

    def due(self, alarm: Alarm) -> Request | None:
        """The request to send now, if any."""
        if not self._waiting:
            return None
        if self._sent_ms is not None and not alarm.reached(self._sent_ms + REPEAT_MS):
            return None
        self._sent_ms = alarm.now_ms
        alarm.reached(alarm.now_ms + REPEAT_MS)
        return self._waiting[0][1]
