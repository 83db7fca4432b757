"""Which modules this cloud consists of: the one place where they are listed.

A new module adds its router, its subscriptions to domain events and its ports here, nowhere else.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.auth import routes as auth
from baywatt_cloud.charging import live
from baywatt_cloud.charging import routes as charging
from baywatt_cloud.ingest.downlink import DOMAIN_SUBSCRIBER
from baywatt_cloud.kit import health
from baywatt_cloud.kit.domain import subscribe
from baywatt_cloud.kit.ports import Payments, PostPaid
from baywatt_cloud.kit.settings import Settings
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
        live.router,
    ]


def register_subscribers(settings: Settings) -> None:
    """Who listens to domain events. Billing and notify call `kit.domain.subscribe` here."""
    if settings.mqtt_url:
        subscribe(DOMAIN_SUBSCRIBER, None, None)


def make_payments(settings: Settings) -> Payments:
    """The payment port. Billing returns its gateway here."""
    del settings
    return PostPaid()


async def on_site_added(db: AsyncSession, site_id: str) -> None:
    """Called in the transaction that adds a site. Billing seeds the default tariff here."""
    del db, site_id


async def price_lines(db: AsyncSession, session_id: str) -> list[dict[str, Any]]:
    """The price lines of a session for its explanation. Billing answers here."""
    del db, session_id
    return []
