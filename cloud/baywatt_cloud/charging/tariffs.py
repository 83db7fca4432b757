"""Which tariff version a session is frozen to."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.models import ChargingSession, Quote, Tariff


async def tariff_at(db: AsyncSession, site_id: str, at_ms: int) -> Tariff | None:
    """The site's own newest version valid at a moment, else the installation's default."""
    own_first = Tariff.site_id.is_(None)  # False sorts before True in both databases
    found: Tariff | None = await db.scalar(
        select(Tariff)
        .where((Tariff.site_id == site_id) | Tariff.site_id.is_(None))
        .where(Tariff.valid_from_ms <= at_ms)
        .order_by(own_first, Tariff.valid_from_ms.desc(), Tariff.version.desc())
        .limit(1)
    )
    return found


async def tariff_of_session(
    db: AsyncSession, session: ChargingSession, started_ms: int
) -> Tariff | None:
    """What the driver was quoted, else what was valid when charging began."""
    quote = await db.get(Quote, session.quote_id) if session.quote_id else None
    if quote is not None:
        return await db.get(Tariff, (quote.tariff_id, quote.tariff_version))
    return await tariff_at(db, session.site_id, started_ms)
