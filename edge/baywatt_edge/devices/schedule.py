"""Who may use the bus next: controls first, then asked-for readings, then routine polls.

Pure: time is an argument. A device that does not answer is asked ever more rarely, so that its
time-outs never take more than about a tenth of the bus from the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

BREAK_AFTER = 3
"""Misses in a row until a device counts as silent."""

_SHARE = 10  # a silent device rests at least so many times as long as a probe of it takes
_MAX_REST_MS = 10_000


class Priority(IntEnum):
    """Lower goes first."""

    CONTROL = 0
    DEMAND = 1
    POLL = 2


@dataclass(frozen=True, slots=True)
class Want:
    """A driver would like the bus, from `at_ms` on."""

    at_ms: int
    priority: Priority


@dataclass(frozen=True, slots=True)
class Manners:
    """How a device wants to be treated: its time-out, and its rest after each exchange."""

    timeout_ms: int
    gap_ms: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """The device whose turn it is, or None and the moment when that may change."""

    device_id: str | None
    until_ms: int = 0


@dataclass(slots=True)
class _Breaker:
    misses: int = 0
    rest_until_ms: int = 0


class Schedule:
    """The turns on one bus."""

    def __init__(self, manners: Mapping[str, Manners]) -> None:
        self._manners = dict(manners)
        self._breakers = {device: _Breaker() for device in manners}

    def choose(self, wants: Mapping[str, Want | None], now_ms: int, idle_ms: int = 200) -> Choice:
        """The turn at `now_ms`; without one, `until_ms` is at most `idle_ms` ahead."""
        due: list[tuple[int, int, str]] = []
        until = now_ms + idle_ms
        for device, want in wants.items():
            if want is None:
                continue
            at = max(want.at_ms, self._breakers[device].rest_until_ms)
            if at <= now_ms:
                due.append((want.priority, want.at_ms, device))
            else:
                until = min(until, at)
        return Choice(min(due)[2]) if due else Choice(None, until)

    def answered(self, device: str, now_ms: int) -> None:
        """The exchange just ended with an answer of whatever kind."""
        breaker = self._breakers[device]
        breaker.misses = 0
        breaker.rest_until_ms = now_ms + self._manners[device].gap_ms

    def missed(self, device: str, now_ms: int, cost_ms: int = 0) -> None:
        """The exchange just ended without an answer and kept the bus for `cost_ms`.

        Even a first miss rests the device for one more time-out: on a serial line an answer that
        is merely late must not be taken for the answer to the next question.
        """
        breaker = self._breakers[device]
        breaker.misses += 1
        manners = self._manners[device]
        breaker.rest_until_ms = now_ms + max(
            manners.gap_ms, _rest_ms(breaker.misses, max(cost_ms, manners.timeout_ms))
        )

    def silent(self, device: str) -> bool:
        """Whether the device missed so often that it is only probed."""
        return self._breakers[device].misses >= BREAK_AFTER

    def reset(self) -> None:
        """The line is new: everybody gets a fresh chance."""
        for breaker in self._breakers.values():
            breaker.misses = 0
            breaker.rest_until_ms = 0


def _rest_ms(misses: int, cost_ms: int) -> int:
    over = misses - BREAK_AFTER
    if over < 0:
        return cost_ms
    floor = _SHARE * cost_ms
    return max(floor, min(_MAX_REST_MS, floor << min(over, 8)))
