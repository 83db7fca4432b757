"""What the OCPP room needs of the journal."""

from __future__ import annotations

from typing import Any, Protocol

from baywatt_edge.journal import Commit, Row, Stream, Write


class Journal(Protocol):
    """The part of the journal that is used here."""

    def submit(self, write: Write) -> Commit:
        """Hand a write over; it is durable when the commit is done."""
        ...

    async def read(self, stream: Stream, after: int, limit: int) -> list[Row]:
        """Committed rows behind `after`, in order."""
        ...

    async def document(self, key: str) -> Any | None:  # noqa: ANN401 - JSON is any of its types
        """A document's value."""
        ...

    async def cursor(self, name: str) -> int:
        """Where a follower stands."""
        ...

    async def wait_beyond(self, stream: Stream, seq: int) -> None:
        """Return once there is a row behind `seq`."""
        ...
