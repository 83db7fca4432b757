"""The composition root: settings in, a FastAPI app with its background workers out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

from baywatt_cloud import modules
from baywatt_cloud.charging import sweeper
from baywatt_cloud.ingest.link import Link
from baywatt_cloud.kit import problems, relay
from baywatt_cloud.kit.clock import UtcClock, system_clock
from baywatt_cloud.kit.db import Database
from baywatt_cloud.kit.health import CountRequests
from baywatt_cloud.kit.identity import signing_key
from baywatt_cloud.kit.migrate import migrate
from baywatt_cloud.kit.services import Services
from baywatt_cloud.kit.settings import Settings
from baywatt_cloud.kit.workers import Worker, running


def make_services(settings: Settings, clock: UtcClock = system_clock) -> Services:
    """The collaborators of all modules; subscriptions are registered by it."""
    payments = modules.make_payments(settings, clock)
    modules.register_subscribers(settings, payments)
    return Services(
        settings=settings,
        database=Database(settings.database_url, clock),
        payments=payments,
        clock=clock,
        price_lines=modules.price_lines,
    )


def workers_of(services: Services) -> dict[str, Worker]:
    """Everything that runs beside the API."""
    workers: dict[str, Worker] = {
        "relay": partial(relay.run, services.database),
        "sweeper": partial(sweeper.run, services),
        **modules.workers(services),
    }
    if services.settings.mqtt_url:
        workers["mqtt"] = Link(services, services.settings.mqtt_url).run
    return workers


def create_app(settings: Settings, clock: UtcClock = system_clock) -> FastAPI:
    """The app; its lifespan migrates SQLite, starts the workers and closes the database."""
    services = make_services(settings, clock)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        if settings.is_sqlite:
            await migrate(services.database)
        services.signing_key = await signing_key(services.database, settings.secret)
        try:
            async with running(workers_of(services) if settings.workers else {}):
                yield
        finally:
            try:
                await services.payments.close()
            finally:
                await services.database.close()

    app = FastAPI(
        title="Baywatt",
        version="1",
        summary="Charging bays: find, book, charge, understand the bill.",
        lifespan=lifespan,
    )
    app.state.services = services
    app.add_middleware(CountRequests, metrics=services.metrics)
    problems.install(app)
    for router in modules.routers():
        app.include_router(router)
    return app
