"""Whether a device answers, and what its exchanges cost: pure counters behind LinkChanged."""

from __future__ import annotations

from collections import deque

from baywatt_contract.clock import Instant
from baywatt_contract.observations import LinkChanged

MISSES_UNTIL_DOWN = 3


class LinkWatch:
    """Up with the first answer, down after three misses in a row; each change is told once."""

    def __init__(self, device_id: str) -> None:
        self._device_id = device_id
        self._up: bool | None = None
        self._misses = 0
        self.detail = "not asked yet"

    @property
    def up(self) -> bool:
        """Whether the device answers."""
        return self._up is True

    def ok(self, now: Instant, detail: str = "") -> list[LinkChanged]:
        """An answer arrived."""
        self._misses = 0
        self.detail = detail
        return self._become(True, now)

    def miss(self, now: Instant, detail: str) -> list[LinkChanged]:
        """No usable answer arrived."""
        self._misses += 1
        if self._misses < MISSES_UNTIL_DOWN:
            return []
        return self.down(now, detail)

    def down(self, now: Instant, detail: str) -> list[LinkChanged]:
        """The device cannot answer (its line is gone, or we must not speak to it)."""
        self.detail = detail
        return self._become(False, now)

    def _become(self, up: bool, now: Instant) -> list[LinkChanged]:
        if self._up is up:
            return []
        self._up = up
        return [LinkChanged(self._device_id, up, now, self.detail)]


class Statistics:
    """Counts and the last latencies of one device."""

    def __init__(self) -> None:
        self.requests = 0
        self.timeouts = 0
        self.damaged = 0
        self._latencies_ms: deque[float] = deque(maxlen=256)

    def answered(self, latency_ms: float) -> None:
        """An exchange succeeded after `latency_ms`."""
        self._latencies_ms.append(latency_ms)

    def percentile(self, share: float) -> float:
        """The latency that `share` of the last exchanges did not exceed; 0 before the first."""
        ordered = sorted(self._latencies_ms)
        if not ordered:
            return 0.0
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)
