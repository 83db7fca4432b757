"""Opening a journal: check it, migrate it, and set a broken one aside for a fresh epoch."""

from __future__ import annotations

import logging
import secrets
import sqlite3
import time
from pathlib import Path

from sqlite_utils import Database

from baywatt_edge.journal.errors import CorruptDatabaseError, DiskFullError, JournalUnavailableError
from baywatt_edge.journal.faults import Fault, classify
from baywatt_edge.journal.files import DATABASE, Ballast, quarantine, sync_folder
from baywatt_edge.journal.schema import migrate
from baywatt_edge.journal.store import Identity, Store, open_connection

log = logging.getLogger(__name__)

_CHECK_AT_MOST_S = 5.0


def open_store(folder: Path, ballast: Ballast | None = None) -> tuple[Store, Identity]:
    """The store of this folder, counted as one more boot.

    Raises DatabaseNewerError and JournalUnavailableError. A corrupt database is moved aside with
    a loud line, and a new one with a new epoch takes its place. On a full disk the ballast gives
    way: a site must come up again there too.
    """
    try:
        return _open_or_begin_anew(folder / DATABASE)
    except DiskFullError:
        if ballast is None:
            raise
        ballast.release()
        return _open_or_begin_anew(folder / DATABASE)


def _open_or_begin_anew(path: Path) -> tuple[Store, Identity]:
    try:
        return _open(path)
    except CorruptDatabaseError as damage:
        aside = quarantine(path)
        log.critical(
            "%s; moved to %s. A new journal begins: what was not yet delivered is only in "
            "that file, keep it for salvage and replace the storage if this repeats",
            damage,
            aside,
        )
        return _open(path)


def _open(path: Path) -> tuple[Store, Identity]:
    try:
        connection = open_connection(path)
        try:
            _check(connection, path)
            migrate(Database(connection, execute_plugins=False), str(path))
            store = Store(connection)
            identity = store.begin_boot(new_epoch=secrets.token_hex(8))
            sync_folder(path.parent)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        fault = classify(error)
        if fault is Fault.CORRUPT:
            raise CorruptDatabaseError(f"{path} is broken: {error}") from error
        if fault is Fault.FULL:
            raise DiskFullError(
                f"the disk of {path} is full: free space and start again"
            ) from error
        raise JournalUnavailableError(
            f"cannot open {path}: {error}; check free space, owner and the storage itself"
        ) from error
    except ValueError as error:
        raise CorruptDatabaseError(f"{path} holds nonsense: {error}") from error
    return store, identity


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """SQLite's own check of all pages, as far as it comes within a few seconds."""
    deadline = time.monotonic() + _CHECK_AT_MOST_S
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 50_000)
    try:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        log.info("%s is large: its check was ended after %.0f s", path, _CHECK_AT_MOST_S)
        verdict = "ok"
    finally:
        connection.set_progress_handler(None, 0)
    if verdict != "ok":
        raise CorruptDatabaseError(f"{path} is broken: {verdict}")
