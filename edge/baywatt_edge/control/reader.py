"""What the control socket needs of the journal."""

from __future__ import annotations

from typing import Protocol

from baywatt_edge.journal import Row, Stream


class JournalReader(Protocol):
    """The read side of the journal; only committed rows are ever seen."""

    @property
    def site(self) -> str:
        """The site whose journal this is."""
        ...

    @property
    def epoch(self) -> str:
        """The random id of this database."""
        ...

    async def read(self, stream: Stream, after: int, limit: int) -> list[Row]:
        """At most `limit` rows with a higher sequence number than `after`, in order."""
        ...

    def last(self, stream: Stream) -> int:
        """The sequence number of the newest committed row, 0 when there is none."""
        ...

    async def wait_beyond(self, stream: Stream, seq: int) -> None:
        """Wait until `last(stream)` is higher than `seq`."""
        ...
