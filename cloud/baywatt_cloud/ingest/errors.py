"""What can be wrong with what a site says."""

from __future__ import annotations


class IngestError(Exception):
    """Base of ingest's errors."""


class RefusedBatchError(IngestError):
    """The batch as a whole is not acceptable: drop it, count it, acknowledge nothing."""


class UnappliableError(IngestError):
    """The event contradicts what is known: store it, park its session, acknowledge it."""
