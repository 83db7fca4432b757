"""One engine, two kinds of transaction: reads that never wait, writes that take their turn.

SQLite has one writer: a write transaction takes the lock at its beginning (BEGIN IMMEDIATE), since
an upgrade from read to write fails at once under contention, and writers of one process queue
fairly before they reach the file. PostgreSQL runs both kinds at READ COMMITTED.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any

from sqlalchemy import Connection, event, make_url
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from baywatt_cloud.kit.clock import UtcClock, system_clock

_READ_ONLY = "baywatt_read_only"


class Database:
    """The cloud's database; `changed` is set after every commit of a write."""

    def __init__(self, url: str, clock: UtcClock = system_clock) -> None:
        self.engine = make_engine(url)
        self.clock = clock
        self.is_sqlite = url.startswith("sqlite")
        self.changed = Broadcast()
        reader = self.engine.execution_options(**{_READ_ONLY: True})
        self._write = async_sessionmaker(self.engine, expire_on_commit=False)
        self._read = async_sessionmaker(reader, expire_on_commit=False)
        self._turn: AbstractAsyncContextManager[Any] = (
            asyncio.Lock() if self.is_sqlite else nullcontext()
        )

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """One transaction, committed at the end, rolled back on any exception.

        Never open one inside another: on SQLite the inner one would wait for ever.
        """
        async with (
            self._turn,
            self._write(info={"clock": self.clock}) as session,
            session.begin(),
        ):
            yield session
        self.changed.notify()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A read-only transaction on a consistent view."""
        async with self._read(info={"clock": self.clock}) as session:
            yield session

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


class Broadcast:
    """Wakes everybody who waits; a wake-up between two waits is not lost."""

    def __init__(self) -> None:
        self._count = 0
        self._event = asyncio.Event()

    @property
    def count(self) -> int:
        """How often `notify` was called: remember it before looking at the data."""
        return self._count

    def notify(self) -> None:
        """Wake all waiters."""
        self._count += 1
        self._event.set()
        self._event = asyncio.Event()

    async def wait_beyond(self, count: int, timeout_s: float) -> None:
        """Return when `count` has been exceeded or the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._count <= count:
                    await self._event.wait()
        except TimeoutError:
            return


def make_engine(url: str) -> AsyncEngine:
    """The engine with this house's transaction rules; raises FileNotFoundError for a bad path."""
    if not url.startswith("sqlite"):
        return create_async_engine(url, pool_size=20, max_overflow=20, pool_pre_ping=True)
    file = make_url(url).database
    if file and not Path(file).parent.is_dir():
        raise FileNotFoundError(f"no folder {Path(file).parent} for the database file")
    engine = create_async_engine(url, connect_args={"timeout": 30}, pool_size=10, max_overflow=50)
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: SqliteConnection, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, see _begin_sqlite
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
