"""What an error of SQLite means for the journal."""

from __future__ import annotations

import sqlite3
from enum import Enum, auto


class Fault(Enum):
    """The four kinds of trouble, by what is to be done."""

    FULL = auto()  # a state: make room, wait, go on
    BUSY = auto()  # somebody reads or copies the file: wait, go on
    CORRUPT = auto()  # the file is broken: end, set it aside at the next start
    BROKEN = auto()  # the storage failed, or we did: end


def classify(error: sqlite3.Error) -> Fault:
    """The kind of an error; what is not known to be harmless ends the process."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return Fault.BROKEN
    # Growing the shared-memory file is the one I/O error that means a full disk: SQLite reports
    # ENOSPC there as SHMSIZE. A failed sync is never retried: Linux may have dropped the pages.
    if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}:
        return Fault.FULL
    primary = code & 0xFF
    if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return Fault.BUSY
    if primary in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return Fault.CORRUPT
    return Fault.BROKEN
