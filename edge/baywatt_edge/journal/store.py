"""The database file itself: one connection, whole transactions, plain reads. No thread, no loop."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from sqlite_utils import Database

from baywatt_contract.clock import ClockQuality, Instant
from baywatt_edge.journal.model import FORGET, Row, Stream
from baywatt_edge.journal.schema import table

PAGE_BYTES = 1024
"""A commit writes whole pages: small ones wear the storage less (see tests/bench)."""

_COLUMNS = 9
_CHUNKS = (64, 16, 4, 1)  # rows per statement: see _insert
_INSERT = {
    # The names are ours, not the caller's.
    (stream, size): f"INSERT INTO {stream} VALUES "  # noqa: S608
    + ",".join([f"({','.join('?' * _COLUMNS)})"] * size)
    for stream in Stream
    for size in _CHUNKS
}
RowValues = tuple[int, str, int, int, int, int, str, str, str]


@dataclass(slots=True)
class Record:
    """One write as the disk takes it: everything is encoded, nothing can be refused any more."""

    rows: dict[Stream, list[RowValues]] = field(default_factory=dict)
    documents: list[tuple[str, str | None]] = field(default_factory=list)
    cursors: list[tuple[str, int]] = field(default_factory=list)
    trims: list[tuple[Stream, int]] = field(default_factory=list)  # delete up to, inclusive
    floors: list[tuple[Stream, int]] = field(default_factory=list)  # never use up to, again

    def weight(self) -> int:
        """About how many bytes this adds to the WAL."""
        rows = sum(len(values[-1]) + 100 for each in self.rows.values() for values in each)
        return rows + sum(len(body or "") + 100 for _, body in self.documents)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this database is, and where its sequences stand."""

    epoch: str
    boot: int
    last: dict[Stream, int]
    cursors: dict[str, int]


@dataclass(frozen=True, slots=True)
class Usage:
    """How much is stored. `first` and `last` are equal to 0 for an empty stream."""

    used_bytes: int
    first: dict[Stream, int]
    last: dict[Stream, int]
    aged: dict[Stream, int]  # highest seq among the oldest rows that are past their age, or 0


def row_values(row: Row) -> RowValues:
    """A row as its columns. `data` must be JSON: raises TypeError or ValueError otherwise."""
    at = row.at
    data = msgspec.json.encode(row.data).decode()
    return (row.seq, row.type, row.v, at.mono_ms, at.boot, at.utc_ms, str(at.quality),
            row.trace, data)  # fmt: skip


class Store:
    """The journal's tables; raises sqlite3.Error, which the writer classifies."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._db = Database(connection, execute_plugins=False)

    def begin_boot(self, new_epoch: str) -> Identity:
        """Count this boot; a new database gets `new_epoch`."""
        with self._db.atomic():
            meta = {row["key"]: row["value"] for row in table(self._db, "meta").rows}
            epoch = meta.get("epoch", new_epoch)
            boot = int(meta.get("boot", "0")) + 1
            self._set_meta("epoch", epoch)
            self._set_meta("boot", str(boot))
        last = {
            stream: max(self._bound("max", stream), int(meta.get(f"floor:{stream}", "0")))
            for stream in Stream
        }
        return Identity(epoch, boot, last, self.cursors())

    def apply(self, records: Sequence[Record]) -> None:
        """All records in one transaction: all of them are durable on return, or none is there."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._apply(records)
            self._connection.execute("COMMIT")
        except BaseException:
            # SQLite itself rolls back on some errors: then there is nothing left to undo.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _apply(self, records: Sequence[Record]) -> None:
        for record in records:
            for stream, upto in record.trims:
                self._connection.execute(
                    f"DELETE FROM {stream} WHERE seq <= ?",  # noqa: S608
                    [upto],
                )
            for stream, upto in (*record.trims, *record.floors):
                self._set_meta(f"floor:{stream}", str(upto))
        for stream in Stream:
            self._insert(stream, [row for record in records for row in record.rows.get(stream, ())])
        self._set_documents([pair for record in records for pair in record.documents])
        self._set_cursors([pair for record in records for pair in record.cursors])

    def _insert(self, stream: Stream, rows: list[RowValues]) -> None:
        """Many rows per statement.

        Each statement gives up the interpreter lock once, and to take it back from a busy loop
        costs far more than the insert itself.
        """
        start = 0
        for size in _CHUNKS:
            statement = _INSERT[stream, size]
            while len(rows) - start >= size:
                chunk = rows[start : start + size]
                self._connection.execute(statement, [value for each in chunk for value in each])
                start += size

    def _set_documents(self, pairs: Iterable[tuple[str, str | None]]) -> None:
        for key, body in dict(pairs).items():
            if body is None:
                self._connection.execute("DELETE FROM documents WHERE key = ?", [key])
            else:
                self._connection.execute("INSERT OR REPLACE INTO documents VALUES (?,?)",
                                         [key, body])  # fmt: skip

    def _set_cursors(self, pairs: Iterable[tuple[str, int]]) -> None:
        for name, seq in dict(pairs).items():
            if seq == FORGET:
                self._connection.execute("DELETE FROM cursors WHERE name = ?", [name])
            else:
                self._connection.execute("INSERT OR REPLACE INTO cursors VALUES (?,?)", [name, seq])

    def _set_meta(self, key: str, value: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?,?)", [key, value])

    def rows(self, stream: Stream, after: int, limit: int) -> list[Row]:
        """At most `limit` rows behind `after`, in order."""
        found = table(self._db, stream).rows_where("seq > ?", [after], order_by="seq", limit=limit)
        return [_row(stream, each) for each in found]

    def document(self, key: str) -> Any:  # noqa: ANN401 - JSON is any of its types
        """The document's JSON value, None when there is none."""
        found = next(table(self._db, "documents").rows_where("key = ?", [key]), None)
        return None if found is None else json.loads(found["body"])

    def documents(self, prefix: str) -> dict[str, Any]:
        """Every document whose key begins with `prefix`."""
        found = table(self._db, "documents").rows_where(
            "substr(key, 1, ?) = ?", [len(prefix), prefix], order_by="key"
        )
        return {each["key"]: json.loads(each["body"]) for each in found}

    def cursors(self) -> dict[str, int]:
        """Every cursor by name."""
        return {each["name"]: each["seq"] for each in table(self._db, "cursors").rows}

    def used_bytes(self) -> int:
        """Pages that hold something; a deleted row's page is free for the next row."""
        return (self._pragma("page_count") - self._pragma("freelist_count")) * PAGE_BYTES

    def usage(self, older_than_utc_ms: dict[Stream, int]) -> Usage:
        """What is stored; looks for aged rows only at the old end of each stream."""
        return Usage(
            used_bytes=self.used_bytes(),
            first={stream: self._bound("min", stream) for stream in Stream},
            last={stream: self._bound("max", stream) for stream in Stream},
            aged={stream: self._aged(stream, utc) for stream, utc in older_than_utc_ms.items()},
        )

    def _aged(self, stream: Stream, utc_ms: int) -> int:
        oldest = f"SELECT seq, utc_ms FROM {stream} ORDER BY seq LIMIT 2000"  # noqa: S608
        found = self._connection.execute(
            f"SELECT max(seq) FROM ({oldest}) WHERE utc_ms < ?",  # noqa: S608
            [utc_ms],
        ).fetchone()
        return int(found[0] or 0)

    def _bound(self, which: str, stream: Stream) -> int:
        found = self._connection.execute(f"SELECT {which}(seq) FROM {stream}").fetchone()  # noqa: S608
        return int(found[0] or 0)

    def set_limit(self, max_bytes: int) -> None:
        """The file never grows past this: a write that needs more raises SQLITE_FULL."""
        self._connection.execute(f"PRAGMA max_page_count = {max_bytes // PAGE_BYTES}")

    def checkpoint(self, mode: str = "PASSIVE") -> None:
        """Carry the WAL over into the database file.

        Done by us, because SQLite's own automatic checkpoint swallows the errors of its syncs.
        """
        self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()

    def close(self) -> None:
        """Close the connection; SQLite checkpoints once more."""
        self._connection.close()

    def _pragma(self, name: str) -> int:
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])


def _row(stream: Stream, each: dict[str, Any]) -> Row:
    at = Instant(each["mono_ms"], each["boot"], each["utc_ms"], ClockQuality(each["quality"]))
    return Row(stream, each["seq"], each["type"], each["v"], at, each["trace"],
               msgspec.json.decode(each["data"]))  # fmt: skip


def open_connection(path: Path) -> sqlite3.Connection:
    """A connection whose commits are synced; raises sqlite3.Error."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        _configure(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _configure(connection: sqlite3.Connection) -> None:
    for pragma in (
        "busy_timeout = 5000",
        "cell_size_check = ON",
        f"page_size = {PAGE_BYTES}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "wal_autocheckpoint = 0",
        "temp_store = MEMORY",
        "cache_size = -2000",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchone()
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    if mode != "wal":
        raise sqlite3.OperationalError(f"journal mode {mode}: the file system has no WAL")
