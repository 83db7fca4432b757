"""The tariff a new site begins with, and who issues invoices until somebody says otherwise."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.billing.models import LegalEntity
from baywatt_cloud.kit.ids import new_id
from baywatt_cloud.models import Tariff
from baywatt_contract.messages import items_hash

DEFAULT_ENTITY = "default"
DEFAULT_CURRENCY = "EUR"

_VAT = 19


def default_ocpi(tariff_id: str) -> dict[str, Any]:
    """0.49 EUR/kWh, 0.35 EUR per session, 6.00 EUR/h once the vehicle requests no more power.

    Prices exclude tax (19 %). Billed to the Wh and to the second.
    """
    prices = (("ENERGY", 0.49), ("FLAT", 0.35), ("PARKING_TIME", 6.00))
    components = [
        {"type": kind, "price": price, "vat": _VAT, "step_size": 1} for kind, price in prices
    ]
    return {
        "id": tariff_id,
        "currency": DEFAULT_CURRENCY,
        "elements": [{"price_components": components}],
    }


async def add_default_tariff(db: AsyncSession, site_id: str | None, now_ms: int) -> Tariff:
    """Version 1 of the default tariff for a site (None: for every site without its own)."""
    tariff_id = new_id("tf", now_ms)
    ocpi = default_ocpi(tariff_id)
    tariff = Tariff(
        id=tariff_id,
        version=1,
        site_id=site_id,
        currency=DEFAULT_CURRENCY,
        ocpi=ocpi,
        hash=items_hash([ocpi]),
        valid_from_ms=0,
        created_ms=now_ms,
    )
    db.add(tariff)
    await db.flush()
    return tariff


async def entity(db: AsyncSession, entity_id: str = DEFAULT_ENTITY) -> LegalEntity:
    """The issuing entity, locked until the transaction ends; made on first use."""
    found = await db.get(LegalEntity, entity_id, with_for_update=True)
    if found is None:
        found = LegalEntity(id=entity_id, name="Baywatt charging", prefix="BW", next_number=1)
        db.add(found)
        await db.flush()
    return found
