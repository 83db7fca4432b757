"""The journal's files: who may open them, and where a broken one goes."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from baywatt_edge.journal.errors import JournalInUseError, JournalUnavailableError

DATABASE = "journal.db"
_SIDE_FILES = ("", "-wal", "-shm")
_QUARANTINED_KEPT = 3


class FolderLock:
    """An exclusive lock on a journal's folder, gone with the process that holds it."""

    def __init__(self, folder: Path) -> None:
        """Create the folder and take the lock; raises JournalUnavailableError."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(
                folder / "journal.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640
            )
        except OSError as error:
            raise JournalUnavailableError(
                f"cannot use {folder}: {error.strerror}; correct `[storage] path` or its owner"
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise JournalInUseError(
                f"{folder} is in use by another process; stop that daemon first"
            ) from error

    def release(self) -> None:
        """Let the next one in."""
        os.close(self._fd)


def sync_folder(folder: Path) -> None:
    """Make new names in the folder survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def quarantine(database: Path) -> Path:
    """Move a broken database (with its WAL) aside for whoever wants to salvage it.

    Keeps the newest few, so that a dying card cannot fill itself with its own remains.
    """
    older = sorted(_quarantined(database))
    number = older[-1][0] + 1 if older else 1
    for _, path in older[: max(0, len(older) + 1 - _QUARANTINED_KEPT)]:
        for side in _SIDE_FILES:
            with suppress(FileNotFoundError):
                path.with_name(path.name + side).unlink()
    target = database.with_name(f"{database.name}.corrupt-{number}")
    # The database goes first: a crash in between leaves a WAL without one, which SQLite discards.
    # The other way round it would leave an old state under the same epoch.
    for side in _SIDE_FILES:
        with suppress(FileNotFoundError):
            database.with_name(database.name + side).rename(target.with_name(target.name + side))
    sync_folder(database.parent)
    return target


def _quarantined(database: Path) -> list[tuple[int, Path]]:
    found = []
    for path in database.parent.glob(f"{database.name}.corrupt-*"):
        number = path.name.rpartition("-")[2]
        if number.isdigit():
            found.append((int(number), path))
    return found


class Ballast:
    """Disk space held back, so that a full disk still lets running sessions end well."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self._size = size_bytes
        self.held = False

    def hold(self) -> bool:
        """Reserve the space; False while the disk has none to give."""
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                os.posix_fallocate(fd, 0, self._size)
            finally:
                os.close(fd)
        except OSError:
            self.release()
            return False
        self.held = True
        return True

    def release(self) -> None:
        """Give the space back to the disk."""
        self._path.unlink(missing_ok=True)
        self.held = False
