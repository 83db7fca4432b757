"""Both databases for every test that asks: a migrated SQLite file and a database in PostgreSQL.

PostgreSQL's programs come with a wheel; the server runs for the length of the test session on a
Unix socket in a temporary folder, as `nobody` when the tests run as root (it refuses root).
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from postgres_server import Postgres, running_postgres
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from baywatt_cloud.admin import add_person, add_site
from baywatt_cloud.app import create_app
from baywatt_cloud.ingest.service import Ingest
from baywatt_cloud.kit.db import Database
from baywatt_cloud.kit.identity import issue_token
from baywatt_cloud.kit.migrate import migrate
from baywatt_cloud.kit.services import Services
from baywatt_cloud.kit.settings import Settings
from baywatt_cloud.models import Role
from baywatt_contract.clock import format_utc_ms
from baywatt_contract.envelope import Event, pack_events
from baywatt_contract.events import (
    ChargingStarted,
    ChargingStopped,
    LimitChanged,
    MeterSampled,
    Payload,
    SessionAuthorised,
    SessionEnded,
    SiteConnector,
    SiteDescribed,
)
from baywatt_contract.topics import UpTopic

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


@pytest.fixture(autouse=True, scope="session")
def _quick_passwords() -> Iterator[None]:
    """Argon2 as everywhere, with the smallest parameters."""
    quick = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("baywatt_cloud.auth.service._passwords", quick)
        patch.setattr("baywatt_cloud.auth.service._NOBODY", quick.hash("nobody"))
        yield


def _migrate(url: str) -> None:
    async def go() -> None:
        database = Database(url)
        await migrate(database)
        await database.close()

    asyncio.run(go())


# --- PostgreSQL --------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as found:
        yield found


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


@pytest.fixture(scope="module")
def postgres_database(postgres: Postgres, postgres_template: str) -> str:
    return postgres.create(postgres_template)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty, migrated database: the test runs once on each kind."""
    if request.param == "sqlite":
        path = tmp_path / "cloud.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite+aiosqlite:///{path}"
    server: Postgres = request.getfixturevalue("postgres")
    name: str = request.getfixturevalue("postgres_database")
    server.empty(name)
    return server.url(name).replace("postgresql://", "postgresql+asyncpg://")


# --- the app -----------------------------------------------------------------------------------


@pytest.fixture
async def database(database_url: str, clock: FakeClock) -> AsyncIterator[Database]:
    made = Database(database_url, clock)
    yield made
    await made.close()


@asynccontextmanager
async def _serving(app: FastAPI) -> AsyncIterator[AsyncClient]:
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
    async with _serving(app) as client:
        yield client


@pytest.fixture
def serving() -> Callable[[FastAPI], AbstractAsyncContextManager[AsyncClient]]:
    """`async with serving(app) as client` for apps that a test makes itself."""
    return _serving


@pytest.fixture
def services(app: FastAPI) -> Services:
    made: Services = app.state.services
    return made


# --- a site that talks ---------------------------------------------------------------------------


@dataclass
class Talker:
    """Makes the events of a site as its journal would: gapless, with its clock."""

    clock: FakeClock
    site: str = "harbour"
    epoch: str = "e1"
    seq: int = 0

    def event(self, payload: Payload, **changes: Any) -> Event:
        self.seq += 1
        fields: dict[str, Any] = {
            "id": f"{self.site}:{self.epoch}:{self.seq}",
            "type": payload.type_name(),
            "v": payload.version,
            "time": format_utc_ms(self.clock.now_ms),
            "mono_ms": self.seq * 1000,
            "boot": 1,
            "clock": "synced",
            "data": payload.to_data(),
        }
        return Event.model_validate(fields | changes)

    def described(self) -> Event:
        connectors = [
            SiteConnector(
                id=number,
                station="HARBOUR-1",
                evse=number,
                plug="type2-socket" if number < 4 else "ccs2",
                max_power_w=22_080 if number < 4 else 50_000,
                phases=(1, 2, 3),
                current_kind="ac" if number < 4 else "dc",
                bay=f"A{number}",
            )
            for number in (1, 2, 3, 4)
        ]
        return self.event(
            SiteDescribed(
                site=self.site,
                name="Harbour Street",
                time_zone="Europe/Berlin",
                currency="EUR",
                latitude=53.5461,
                longitude=9.9661,
                fuse_a=63,
                authorise="any",
                reserve="cloud",
                bill="cloud",
                connectors=connectors,
                bays=["A1", "A2", "A3", "A4"],
            )
        )

    def window(self, begin_h: float, end_h: float) -> dict[str, str]:
        """`from` and `to`, hours from now."""
        hours = {"from": begin_h, "to": end_h}
        return {
            name: format_utc_ms(self.clock.now_ms + round(value * 3_600_000))
            for name, value in hours.items()
        }

    def visit(
        self, session: str = "s1", *, booking_id: str | None = None, wh: int = 5000
    ) -> list[Event]:
        """A whole charge of `wh` watt-hours at connector 1."""
        at: dict[str, Any] = {"session": session, "connector": 1}
        token = "04A1B2C3"
        payloads = [
            SessionAuthorised(
                **at,
                source="card",
                authority="cloud",
                token=token,
                token_hash="x",
                booking_id=booking_id,
            ),
            ChargingStarted(**at, energy_wh=1000, meter="meter-1", token=token),
            LimitChanged(**at, limit_ma=32_000, rule="cable", reason="the cable carries 32 A"),
            MeterSampled(**at, energy_wh=1000 + wh // 2, power_w=11_000),
            LimitChanged(**at, limit_ma=16_000, rule="share", reason="two cars share 63 A"),
            ChargingStopped(**at, energy_wh=1000 + wh, reason="Local", duration_ms=3_600_000),
            SessionEnded(**at, reason="unplugged"),
        ]
        return [self.event(payload) for payload in payloads]


@pytest.fixture
def talker(clock: FakeClock) -> Talker:
    return Talker(clock)


@pytest.fixture
async def ingest(services: Services, api: AsyncClient) -> Ingest:
    """Ingest of the running app, with the site `harbour` added."""
    await add_site(services.database, "harbour")
    return Ingest(services)


@pytest.fixture
async def harbour(ingest: Ingest, talker: Talker) -> Talker:
    """The site, described."""
    await ingest.take("harbour", UpTopic.EVENTS, pack_events([talker.described()]))
    return talker


async def _log_in(api: AsyncClient, email: str) -> dict[str, str]:
    secret = "correct horse battery"
    await api.post("/auth/register", json={"email": email, "password": secret})
    answer = await api.post("/auth/token", data={"username": email, "password": secret})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@pytest.fixture
def log_in() -> Callable[[AsyncClient, str], Awaitable[dict[str, str]]]:
    """Registers a driver and returns the headers of a logged-in one."""
    return _log_in


@pytest.fixture
async def kim(api: AsyncClient) -> dict[str, str]:
    """Headers of a driver."""
    return await _log_in(api, "kim@example.org")


@pytest.fixture
async def lee(api: AsyncClient) -> dict[str, str]:
    """Headers of another driver."""
    return await _log_in(api, "lee@example.org")


@pytest.fixture
async def operator(services: Services, api: AsyncClient) -> dict[str, str]:
    """Headers of an operator."""
    person = await add_person(services.database, "op@example.org", Role.OPERATOR, "long enough")
    return {"Authorization": f"Bearer {issue_token(services, person.id)}"}
