"""What a running cloud consists of, reachable from every route as `app.state.services`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import HTTPConnection

from baywatt_cloud.kit.clock import UtcClock, system_clock
from baywatt_cloud.kit.db import Database
from baywatt_cloud.kit.live import LiveHub
from baywatt_cloud.kit.metrics import Metrics
from baywatt_cloud.kit.ports import Payments
from baywatt_cloud.kit.settings import Settings

PriceLines = Callable[[AsyncSession, str], Awaitable[list[dict[str, Any]]]]
"""The price lines of a session, [] while it has none."""


async def _no_lines(_db: AsyncSession, _session_id: str) -> list[dict[str, Any]]:
    return []


@dataclass(slots=True)
class Services:
    """Collaborators of all modules, made once by the composition root."""

    settings: Settings
    database: Database
    payments: Payments
    clock: UtcClock = system_clock
    price_lines: PriceLines = _no_lines
    hub: LiveHub = field(default_factory=LiveHub)
    metrics: Metrics = field(default_factory=Metrics)
    signing_key: bytes = b""
    in_flight: set[tuple[str, str, str]] = field(default_factory=set)
    broker_connected: bool | None = None  # None: no broker configured


def services_of(connection: HTTPConnection) -> Services:
    """The services of the app that serves this connection."""
    services: Services = connection.app.state.services
    return services


async def _read_session(connection: HTTPConnection) -> AsyncIterator[AsyncSession]:
    async with services_of(connection).database.read() as db:
        yield db


def _now_ms(connection: HTTPConnection) -> int:
    return services_of(connection).clock()


Use = Annotated[Services, Depends(services_of)]
"""All services, for routes that need more than a session."""

ReadDb = Annotated[AsyncSession, Depends(_read_session)]
"""A read-only session for the length of the request."""

NowMs = Annotated[int, Depends(_now_ms)]
"""The moment of the request, UTC milliseconds."""
