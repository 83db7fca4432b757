"""What may be forgotten, and when: pure arithmetic over what is stored and who has read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from baywatt_edge.journal.model import Stream
from baywatt_edge.journal.store import Usage

_DAY_MS = 86_400_000
_ROW_BYTES = 256  # a telemetry row with its share of the page, rounded up
_CHUNK_ROWS = 5000  # so that no trim holds up a commit for long


@dataclass(frozen=True, slots=True)
class Policy:
    """How long delivered rows are kept, and how much room telemetry may take."""

    soft_bytes: int  # above this room is made before the file is full
    telemetry_rows: int
    keep_ms: Mapping[Stream, int]

    @classmethod
    def of(cls, database_bytes: int) -> Policy:
        """The everyday policy for a file of this size limit: a quarter of it for telemetry."""
        return cls(
            soft_bytes=database_bytes * 3 // 4,
            telemetry_rows=max(10, database_bytes // 4 // _ROW_BYTES),
            keep_ms={Stream.EVENTS: 30 * _DAY_MS, Stream.TELEMETRY: _DAY_MS},
        )

    @property
    def tidy_rows(self) -> int:
        """After so many rows it is time to look again."""
        return max(20, self.telemetry_rows // 20)

    def plan(self, usage: Usage, cursors: Mapping[str, int], *, full: bool) -> dict[Stream, int]:
        """Up to which row (inclusive) each stream is to be trimmed now; 0 or absent: not at all.

        Events go only when every cursor is beyond them. Telemetry also goes unread, oldest first.
        """
        tight = full or usage.used_bytes > self.soft_bytes
        trims: dict[Stream, int] = {}
        telemetry = self._telemetry(usage, cursors, tight=tight)
        if telemetry >= usage.first[Stream.TELEMETRY] > 0:
            trims[Stream.TELEMETRY] = telemetry
        events = self._events(usage, cursors, tight=tight and not trims)
        if events >= usage.first[Stream.EVENTS] > 0:
            trims[Stream.EVENTS] = events
        return trims

    def _telemetry(self, usage: Usage, cursors: Mapping[str, int], *, tight: bool) -> int:
        first, last = usage.first[Stream.TELEMETRY], usage.last[Stream.TELEMETRY]
        count = last - first + 1 if first else 0
        delivered = min(usage.aged[Stream.TELEMETRY], read_by_all(Stream.TELEMETRY, cursors, last))
        excess = count - self.telemetry_rows
        # A twentieth more than needed, so that drops are announced in ranges, not row by row.
        over = first + excess + self.telemetry_rows // 20 if excess > 0 else 0
        squeezed = first + max(count // 10, min(count, 100)) if tight and count else 0
        return min(last, max(delivered, over, squeezed), first + _CHUNK_ROWS)

    def _events(self, usage: Usage, cursors: Mapping[str, int], *, tight: bool) -> int:
        first, last = usage.first[Stream.EVENTS], usage.last[Stream.EVENTS]
        delivered = read_by_all(Stream.EVENTS, cursors, last)
        wanted = first + _CHUNK_ROWS if tight else usage.aged[Stream.EVENTS]
        return min(delivered, wanted, first + _CHUNK_ROWS)


def read_by_all(stream: Stream, cursors: Mapping[str, int], last: int) -> int:
    """The last row that every follower of the stream has passed; `last` when nobody follows."""
    return min((seq for name, seq in cursors.items() if follows(name) is stream), default=last)


def follows(cursor: str) -> Stream:
    """The stream that a cursor moves over, by its name."""
    return Stream.TELEMETRY if cursor.endswith(f":{Stream.TELEMETRY}") else Stream.EVENTS
