"""The controller's clock: monotonic for durations, UTC with a quality for the calendar."""

from __future__ import annotations

import time
from collections.abc import Callable

from baywatt_contract.clock import ClockQuality, Instant

# Anything before this program was written is a clock that lost its battery.
_PLAUSIBLE_UTC_MS = 1_760_000_000_000


class SystemClock:
    """Reads the operating system's clocks; `trust` corrects UTC without touching the system."""

    def __init__(
        self,
        boot: int,
        mono_ns: Callable[[], int] = time.monotonic_ns,
        utc_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._boot = boot
        self._mono_ns = mono_ns
        self._utc_ns = utc_ns
        self._offset_ms = 0
        self._trusted_by = ""

    def now(self) -> Instant:
        """This moment, with the best UTC known."""
        utc_ms = self._utc_ns() // 1_000_000 + self._offset_ms
        return Instant(self._mono_ns() // 1_000_000, self._boot, utc_ms, self._quality(utc_ms))

    def trust(self, utc_ms: int, source: str) -> None:
        """Correct UTC when a trusted source differs by two seconds or more."""
        system_ms = self._utc_ns() // 1_000_000
        if abs(utc_ms - system_ms - self._offset_ms) >= 2000:
            self._offset_ms = utc_ms - system_ms
        self._trusted_by = source

    def _quality(self, utc_ms: int) -> ClockQuality:
        if self._trusted_by:
            return ClockQuality.SYNCED
        return ClockQuality.HELD if utc_ms >= _PLAUSIBLE_UTC_MS else ClockQuality.UNSYNCED
