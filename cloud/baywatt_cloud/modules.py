"""Which modules this cloud consists of: the one place where they are listed.

A new module adds its router, its subscriptions to domain events and its ports here, nowhere else.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.auth import routes as auth
from baywatt_cloud.billing import module as billing
from baywatt_cloud.billing import routes as billing_routes
from baywatt_cloud.billing.payments import GatewayPayments
from baywatt_cloud.charging import live, quote_routes
from baywatt_cloud.charging import routes as charging
from baywatt_cloud.ingest.downlink import DOMAIN_SUBSCRIBER
from baywatt_cloud.kit import health
from baywatt_cloud.kit.clock import UtcClock
from baywatt_cloud.kit.domain import subscribe
from baywatt_cloud.kit.ports import Payments
from baywatt_cloud.kit.services import Services
from baywatt_cloud.kit.settings import Settings
from baywatt_cloud.kit.workers import Worker
from baywatt_cloud.notify import outbox as notify
from baywatt_cloud.notify import sender
from baywatt_cloud.notify.sender import SmtpServer
from baywatt_cloud.pages import login
from baywatt_cloud.pages import routes as pages
from baywatt_cloud.parking import routes as parking
from baywatt_cloud.search import routes as search


def routers() -> list[APIRouter]:
    """Every module's routes. Billing, notify and pages append theirs here."""
    return [
        health.router,
        auth.router,
        search.router,
        parking.router,
        charging.router,
        quote_routes.router,
        live.router,
        billing_routes.router,
        login.router,
        pages.router,
    ]


def register_subscribers(settings: Settings, payments: Payments) -> None:
    """Who listens to domain events. Billing and notify call `kit.domain.subscribe` here."""
    if isinstance(payments, GatewayPayments):
        billing.register(payments)
    notify.register(settings.public_url)
    if settings.mqtt_url:
        subscribe(DOMAIN_SUBSCRIBER, None, None)


def make_payments(settings: Settings, clock: UtcClock) -> Payments:
    """The payment port. Billing returns its gateway here."""
    return billing.make_payments(settings, clock)


def workers(services: Services) -> dict[str, Worker]:
    """What the modules run beside the API."""
    if not services.settings.smtp_url:
        return {}  # mail waits in the outbox until a server is configured
    server = SmtpServer.parse(services.settings.smtp_url)
    return {"mail": partial(sender.run, services.database, server)}


async def on_site_added(db: AsyncSession, site_id: str) -> None:
    """Called in the transaction that adds a site. Billing seeds the default tariff here."""
    await billing.on_site_added(db, site_id)


async def price_lines(db: AsyncSession, session_id: str) -> list[dict[str, Any]]:
    """The price lines of a session for its explanation. Billing answers here."""
    return await billing.price_lines(db, session_id)
