"""One write transaction per request, committed before the answer leaves, with Idempotency-Key.

The stored answer of an idempotent request is written in the same transaction as its effect: a
crash between the two cannot happen, so a repeat either finds both or neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.kit.db import Database
from baywatt_cloud.kit.identity import subject_of, token_of
from baywatt_cloud.kit.problems import ConflictError, UnprocessableError
from baywatt_cloud.kit.services import Services, services_of
from baywatt_cloud.models.outbox import IdempotencyKey

_SAFE = {"GET", "HEAD", "OPTIONS"}
_MAX_KEY = 200
_Slot = tuple[str, str, str]


class InFlightError(ConflictError):
    """The first request with this Idempotency-Key has not been answered yet: repeat later."""

    kind, title = "idempotency-in-flight", "The first request is still being worked on"


class KeyReusedError(UnprocessableError):
    """The Idempotency-Key was used for another request: choose a new key."""

    kind, title = "idempotency-key-reused", "This Idempotency-Key belongs to another request"


class UnitOfWork:
    """The request's write transaction, begun when it is first needed."""

    def __init__(self, database: Database, stack: AsyncExitStack) -> None:
        self._database = database
        self._stack = stack
        self._session: AsyncSession | None = None

    async def session(self) -> AsyncSession:
        """The session; the same one for the whole request."""
        if self._session is None:
            self._session = await self._stack.enter_async_context(self._database.write())
        return self._session


class TransactionalRoute(APIRoute):
    """`route_class` of every router that writes; routes take their session as `WriteDb`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler in the transaction."""
        handle = super().get_route_handler()

        async def transactional(request: Request) -> Response:
            if request.method in _SAFE:
                return await handle(request)
            services = services_of(request)
            async with AsyncExitStack() as stack:
                unit = UnitOfWork(services.database, stack)
                request.state.unit_of_work = unit
                key = request.headers.get("idempotency-key")
                if key is None:
                    return await handle(request)
                slot = _slot(services, request, key)
                return await _once(services, unit, slot, request, handle)

        return transactional


def _unit(request: Request) -> UnitOfWork:
    unit: UnitOfWork = request.state.unit_of_work
    return unit


async def _write_session(request: Request) -> AsyncSession:
    return await _unit(request).session()


Unit = Annotated[UnitOfWork, Depends(_unit)]
"""The request's transaction, not begun yet: for routes with slow work to do before they write."""

WriteDb = Annotated[AsyncSession, Depends(_write_session)]
"""The request's write session; committed after the route returns, rolled back when it raises."""


def _slot(services: Services, request: Request, key: str) -> _Slot:
    if not 1 <= len(key) <= _MAX_KEY:
        raise UnprocessableError(f"Idempotency-Key: 1 to {_MAX_KEY} characters")
    token = token_of(request)
    host = request.client.host if request.client else ""
    principal = subject_of(services, token) if token else f"ip:{host}"
    return principal[:80], request.url.path[:200], key


async def _once(
    services: Services,
    unit: UnitOfWork,
    slot: _Slot,
    request: Request,
    handle: Callable[[Request], Coroutine[Any, Any, Response]],
) -> Response:
    if slot in services.in_flight:
        raise InFlightError
    services.in_flight.add(slot)
    try:
        db = await unit.session()
        await _claim(db, slot)
        digest = await _request_hash(request)
        found = await db.get(IdempotencyKey, slot)
        if found is not None:
            return _replay(found, digest)
        response = await handle(request)
        if 200 <= response.status_code < 300:
            db.add(_stored(slot, digest, response, services.clock()))
            await db.flush()
        return response
    finally:
        services.in_flight.discard(slot)


async def _claim(db: AsyncSession, slot: _Slot) -> None:
    """Between replicas: PostgreSQL keeps the slot until the transaction ends."""
    if db.get_bind().dialect.name != "postgresql":
        return
    digest = hashlib.sha256("\n".join(slot).encode()).digest()
    number = int.from_bytes(digest[:8], "big", signed=True)
    if not await db.scalar(select(func.pg_try_advisory_xact_lock(number))):
        raise InFlightError


async def _request_hash(request: Request) -> str:
    head = f"{request.method} {request.url.path}?{request.url.query}\n"
    return hashlib.sha256(head.encode() + await request.body()).hexdigest()


def _replay(found: IdempotencyKey, digest: str) -> Response:
    if found.request_hash != digest:
        raise KeyReusedError
    headers = {"Idempotency-Replayed": "true"}
    return Response(found.body, found.status, headers, media_type="application/json")


def _stored(slot: _Slot, digest: str, response: Response, now_ms: int) -> IdempotencyKey:
    principal, route, key = slot
    return IdempotencyKey(
        principal=principal,
        route=route,
        key=key,
        request_hash=digest,
        status=response.status_code,
        body=bytes(response.body).decode(),
        created_ms=now_ms,
    )
