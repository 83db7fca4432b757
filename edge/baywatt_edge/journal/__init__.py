"""The journal: everything that must survive is one row here; everybody else is a cursor over it."""

from baywatt_edge.journal.errors import (
    CorruptDatabaseError,
    DatabaseNewerError,
    DiskFullError,
    EventTooLargeError,
    JournalError,
    JournalFailedError,
    JournalInUseError,
    JournalUnavailableError,
)
from baywatt_edge.journal.journal import Journal
from baywatt_edge.journal.model import FORGET, Commit, NewEvent, Row, Stream, Write

__all__ = [
    "FORGET",
    "Commit",
    "CorruptDatabaseError",
    "DatabaseNewerError",
    "DiskFullError",
    "EventTooLargeError",
    "Journal",
    "JournalError",
    "JournalFailedError",
    "JournalInUseError",
    "JournalUnavailableError",
    "NewEvent",
    "Row",
    "Stream",
    "Write",
]
