"""/health and /metrics, and the middleware that counts."""

from __future__ import annotations

from time import perf_counter

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from baywatt_cloud.kit.metrics import Metrics
from baywatt_cloud.kit.migrate import is_current
from baywatt_cloud.kit.problems import UnavailableError, responses
from baywatt_cloud.kit.services import Use

router = APIRouter(tags=["operations"])


class Health(BaseModel):
    """How the cloud is."""

    status: str
    database: str | None = None
    broker: str | None = None


@router.get("/health/live")
async def live() -> Health:
    """The process answers."""
    return Health(status="ok")


@router.get("/health/ready", responses=responses(UnavailableError))
async def ready(use: Use) -> Health:
    """The database answers with the right schema. A broker that is down is named, not fatal:
    people can still look and book."""
    try:
        async with use.database.read() as db:
            await db.execute(text("SELECT 1"))
        current = await is_current(use.database)
    except (SQLAlchemyError, OSError) as error:
        raise UnavailableError("the database does not answer") from error
    if not current:
        raise UnavailableError("the database has another schema: run `baywatt-cloud migrate`")
    broker = {None: "not configured", True: "connected", False: "disconnected"}
    return Health(status="ok", database="ok", broker=broker[use.broker_connected])


@router.get("/metrics", include_in_schema=False)
async def metrics(use: Use) -> Response:
    """Prometheus text."""
    return Response(generate_latest(use.metrics.registry), media_type=CONTENT_TYPE_LATEST)


class CountRequests:
    """ASGI middleware: one counter and one histogram per route template, never per URL."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, then count."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        began = perf_counter()

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.requests.labels(scope["method"], route, str(status)).inc()
            self._metrics.latency.labels(route).observe(perf_counter() - began)
