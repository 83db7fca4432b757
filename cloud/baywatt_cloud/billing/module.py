"""How billing is plugged into the cloud."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.billing import subscribers
from baywatt_cloud.billing.defaults import add_default_tariff
from baywatt_cloud.billing.gateway import FakeGateway, fake_gateway_url
from baywatt_cloud.billing.models import Invoice
from baywatt_cloud.billing.payments import GatewayPayments
from baywatt_cloud.kit.clock import UtcClock
from baywatt_cloud.kit.db import Database
from baywatt_cloud.kit.settings import BadSettingError, Settings


def make_payments(settings: Settings, clock: UtcClock) -> GatewayPayments:
    """The payment port on the configured gateway; raises BadSettingError."""
    if settings.payment != "fake":
        raise BadSettingError(f"BAYWATT_PAYMENT={settings.payment} is not built in yet: write fake")
    book = Database(fake_gateway_url(settings.database_url), clock)
    return GatewayPayments(FakeGateway(book), clock)


def register(payments: GatewayPayments) -> None:
    """Subscribe to the domain events of charging and of our own."""
    subscribers.register(payments)


async def on_site_added(db: AsyncSession, site_id: str) -> None:
    """A new site begins with the default tariff."""
    await add_default_tariff(db, site_id, db.info["clock"]())


async def price_lines(db: AsyncSession, session_id: str) -> list[dict[str, Any]]:
    """The lines of a session's invoice, [] while it has none."""
    body = await db.scalar(select(Invoice.body).where(Invoice.session_id == session_id))
    return [] if body is None else list(body["lines"])
