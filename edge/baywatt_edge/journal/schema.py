"""The tables of the journal, and how a database of any older version becomes today's.

Migrations are appended, never changed: version n is what the first n of them make.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlite_utils import Database
from sqlite_utils.db import Table

from baywatt_edge.journal.errors import CorruptDatabaseError, DatabaseNewerError

APPLICATION_ID = 0x42415957  # "BAYW": tells our file from any other SQLite database
VERSION_TABLE = "schema_version"

_TABLES = {VERSION_TABLE, "events", "telemetry", "documents", "cursors", "meta"}
_ROW_COLUMNS = {
    "seq": int,
    "type": str,
    "v": int,
    "mono_ms": int,
    "boot": int,
    "utc_ms": int,
    "quality": str,
    "trace": str,
    "data": str,
}


def table(db: Database, name: str) -> Table:
    """The table of that name (sqlite-utils' own subscript may also mean a view)."""
    return Table(db, name)


def _first(db: Database) -> None:
    for stream in ("events", "telemetry"):
        # An INTEGER PRIMARY KEY is the rowid. No AUTOINCREMENT: it costs a third more writes,
        # and `floor:*` in meta keeps a sequence from going back after its rows were trimmed.
        table(db, stream).create(_ROW_COLUMNS, pk="seq", not_null=set(_ROW_COLUMNS))
    table(db, "documents").create({"key": str, "body": str}, pk="key", not_null={"body"})
    table(db, "cursors").create({"name": str, "seq": int}, pk="name", not_null={"seq"})
    table(db, "meta").create({"key": str, "value": str}, pk="key", not_null={"value"})


MIGRATIONS: tuple[Callable[[Database], None], ...] = (_first,)


def migrate(db: Database, name: str) -> None:
    """Bring the database to today's version, each step in its own transaction.

    Raises DatabaseNewerError, and CorruptDatabaseError for somebody else's database.
    """
    version = _version(db, name)
    if version > len(MIGRATIONS):
        raise DatabaseNewerError(
            f"{name} has schema {version}, this program knows {len(MIGRATIONS)}: "
            "run the newer program again, or move the file aside to begin anew"
        )
    for number in range(version + 1, len(MIGRATIONS) + 1):
        with db.atomic():
            MIGRATIONS[number - 1](db)
            _set_version(db, number)


def _version(db: Database, name: str) -> int:
    tables = set(db.table_names())
    if tables >= _TABLES:
        (application,) = db.conn.execute("PRAGMA application_id").fetchone()
        rows = list(table(db, VERSION_TABLE).rows)
        if application == APPLICATION_ID and len(rows) == 1:
            return int(rows[0]["version"])
    elif not tables:
        return 0
    raise CorruptDatabaseError(f"{name} is not a journal of this program")


def _set_version(db: Database, number: int) -> None:
    if number == 1:
        db.conn.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        table(db, VERSION_TABLE).create({"version": int}, not_null={"version"})
        table(db, VERSION_TABLE).insert({"version": number})
    else:
        db.conn.execute(f"UPDATE {VERSION_TABLE} SET version = ?", [number])  # noqa: S608
