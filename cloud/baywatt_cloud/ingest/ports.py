"""What ingest needs of a broker."""

from __future__ import annotations

from typing import Protocol


class Publisher(Protocol):
    """Hands a message to the broker."""

    async def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """QoS 1; returns when the broker took it, raises IngestError's LinkDownError if not."""
        ...
