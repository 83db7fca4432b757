"""Sites in a box with their connectors and bays."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.models import Bay, Connector, Site
from baywatt_cloud.search.geo import Box, Point, distance_m

_MOST_SITES = 5000
FRESH_MS = 120_000


async def sites_near(
    db: AsyncSession, centre: Point, box: Box, radius_m: int, q: str | None
) -> list[tuple[int, Site]]:
    """Described sites within the radius, nearest first."""
    statement = (
        select(Site)
        .where(Site.described_ms.is_not(None))
        .where(Site.latitude.between(box.south, box.north))
        .limit(_MOST_SITES)
    )
    if not box.wraps:
        statement = statement.where(Site.longitude.between(box.west, box.east))
    if q:
        statement = statement.where(Site.name.icontains(q, autoescape=True))
    found = []
    for site in await db.scalars(statement):
        away_m = distance_m(centre, Point(site.latitude or 0.0, site.longitude or 0.0))
        if away_m <= radius_m:
            found.append((away_m, site))
    return sorted(found, key=lambda each: (each[0], each[1].id))


async def connectors_of(db: AsyncSession, sites: Sequence[str]) -> list[Connector]:
    """Active connectors of these sites, by number."""
    rows = await db.scalars(
        select(Connector)
        .where(Connector.site_id.in_(sites), Connector.active)
        .order_by(Connector.site_id, Connector.number)
    )
    return list(rows)


async def bays_of(db: AsyncSession, sites: Sequence[str]) -> list[Bay]:
    """Active bays of these sites, by id."""
    rows = await db.scalars(
        select(Bay).where(Bay.site_id.in_(sites), Bay.active).order_by(Bay.site_id, Bay.id)
    )
    return list(rows)


def is_fresh(site: Site, now_ms: int) -> bool:
    """Whether what we know of the site's connectors and bays may be shown as its state."""
    return site.online or (site.heard_ms is not None and now_ms - site.heard_ms <= FRESH_MS)
