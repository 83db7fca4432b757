"""What can go wrong with the journal, named for what the caller can do about it."""

from __future__ import annotations


class JournalError(Exception):
    """Base of the journal's errors; the text is one clear line with the fix."""


class DatabaseNewerError(JournalError):
    """A newer program wrote the database: leave it alone and exit with code 5."""


class CorruptDatabaseError(JournalError):
    """The file is no sound journal; opening moves it aside and begins a new epoch."""


class JournalUnavailableError(JournalError):
    """The folder cannot be used (permissions, read-only, not local); mend it and start again."""


class DiskFullError(JournalUnavailableError):
    """Not even the next boot could be written down; free some space and start again."""


class JournalInUseError(JournalUnavailableError):
    """Another process holds the journal; stop it first."""


class JournalFailedError(JournalError):
    """A sync failed or the file broke: nothing further is durable, the process must end."""


class EventTooLargeError(JournalError, ValueError):
    """An event could never travel in one batch; the caller must make it smaller."""
