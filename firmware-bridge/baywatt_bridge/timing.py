"""Small helpers for time and sequence numbers in sans-I/O cores."""

from __future__ import annotations


class Alarm:
    """Asks "is it time yet?" and remembers the earliest moment at which the answer changes."""

    __slots__ = ("next_ms", "now_ms")

    def __init__(self, now_ms: int) -> None:
        """One alarm serves one step, taken at `now_ms`."""
        self.now_ms = now_ms
        self.next_ms: int | None = None

    def reached(self, at_ms: int) -> bool:
        """Whether `at_ms` has come; if not, the core wants to be called again then."""
        if self.now_ms >= at_ms:
            return True
        self.next_ms = at_ms if self.next_ms is None else min(self.next_ms, at_ms)
        return False


def is_newer(number: int, than: int | None) -> bool:
    """Whether a 16-bit counter has moved on (RFC 1982 arithmetic); anything is newer than None."""
    return than is None or 0 < (number - than) & 0xFFFF < 0x8000
