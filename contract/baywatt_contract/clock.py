"""Time as a value: every fact carries when it happened and how far its clock may be believed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ClockQuality(StrEnum):
    """How far a UTC stamp may be believed; durations never depend on it."""

    SYNCED = "synced"  # a trusted source (NTP, CSMS, cloud) set the clock in this boot
    HELD = "held"  # carried over from a battery clock or the last shutdown
    UNSYNCED = "unsynced"  # no source yet: never price by the time of day


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment: monotonic milliseconds within a boot, and UTC milliseconds with a quality."""

    mono_ms: int
    boot: int
    utc_ms: int
    quality: ClockQuality = ClockQuality.SYNCED

    @property
    def utc(self) -> datetime:
        """The moment as an aware UTC datetime."""
        return EPOCH + timedelta(milliseconds=self.utc_ms)

    def plus_ms(self, ms: int) -> Instant:
        """The moment `ms` later on both clocks."""
        return Instant(self.mono_ms + ms, self.boot, self.utc_ms + ms, self.quality)


def format_utc_ms(utc_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds and `Z`, the only form that leaves the house."""
    moment = EPOCH + timedelta(milliseconds=utc_ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc_ms % 1000:03d}Z"


def parse_utc_ms(text: str) -> int:
    """Milliseconds since 1970 of any RFC 3339 stamp; a stamp without offset is UTC.

    Raises ValueError for anything else.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round((moment - EPOCH) / timedelta(milliseconds=1))
