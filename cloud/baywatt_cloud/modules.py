"""Which modules this cloud consists of: the one place where they are listed.

A new module adds its router, its subscriptions to domain events and its ports here, nowhere else.
"""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.kit.ports import Payments, PostPaid
from baywatt_cloud.kit.settings import Settings


def routers() -> list[APIRouter]:
    """Every module's routes. Billing, notify and pages append theirs here."""
    return []


def register_subscribers(settings: Settings) -> None:
    """Who listens to domain events. Billing and notify call `kit.domain.subscribe` here."""
    del settings


def make_payments(settings: Settings) -> Payments:
    """The payment port. Billing returns its gateway here."""
    del settings
    return PostPaid()


async def on_site_added(db: AsyncSession, site_id: str) -> None:
    """Called in the transaction that adds a site. Billing seeds the default tariff here."""
    del db, site_id
