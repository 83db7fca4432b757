"""What the driver's pages show: stations with prices, and what is mine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.billing import service as billing
from baywatt_cloud.charging import bookings, repository
from baywatt_cloud.charging.tariffs import tariff_at
from baywatt_cloud.charging.views import OVER, delivered_wh
from baywatt_cloud.kit.identity import Person
from baywatt_cloud.models import BLOCKING, Booking, ChargingSession, Role, Site
from baywatt_cloud.pages.prices import in_words
from baywatt_cloud.search import service as search
from baywatt_cloud.search.geo import Point
from baywatt_cloud.search.schemas import StationView

ANYWHERE_M = 20_100_000


async def stations(
    db: AsyncSession, centre: Point | None, words: str | None, now_ms: int
) -> list[tuple[StationView, str]]:
    """Stations nearest first (without a place: from the first one on), each with its price."""
    where = centre or await _somewhere(db)
    if where is None:
        return []
    wanted = search.Wanted(where, ANYWHERE_M, q=words or None)
    found = await search.find(db, wanted, now_ms)
    return [(each, await price_of(db, each.station_id, now_ms)) for each in found[:20]]


async def _somewhere(db: AsyncSession) -> Point | None:
    site = await db.scalar(
        select(Site).where(Site.latitude.is_not(None)).order_by(Site.name, Site.id).limit(1)
    )
    if site is None or site.latitude is None or site.longitude is None:
        return None
    return Point(site.latitude, site.longitude)


async def price_of(db: AsyncSession, site_id: str, now_ms: int) -> str:
    """The site's tariff in a line."""
    tariff = await tariff_at(db, site_id, now_ms)
    return in_words(tariff.ocpi) if tariff else ""


async def of_person(db: AsyncSession, person: Person) -> dict[str, Any]:
    """Open session and bookings, past sessions, receipts."""
    sessions = await repository.sessions_of(db, person.id, 8, 0)
    zones = {row.id: row.time_zone for row in await db.scalars(select(Site))}
    rows = await db.scalars(
        select(Booking)
        .where(Booking.user_id == person.id, Booking.status.in_(BLOCKING))
        .order_by(Booking.from_ms)
        .limit(8)
    )
    invoices = await _receipts(db, person)
    return {
        "open": [(row, delivered_wh(row)) for row in sessions if row.status not in OVER],
        "bookings": [
            (row, await bookings.view(db, row), zones.get(row.site_id, "UTC")) for row in rows
        ],
        "invoices": invoices,
        "zones": zones,
    }


async def _receipts(db: AsyncSession, person: Person) -> list[Any]:
    """The newest receipts of the person's own, also for operators, who may see all."""
    as_driver = replace(person, role=Role.DRIVER)
    rows = await billing.list_for(db, as_driver, session_id=None, limit=8, offset=0)
    return [billing.summary(*row) for row in rows]


async def session_page(db: AsyncSession, row: ChargingSession) -> dict[str, Any]:
    """A session with its power so far, its limits and its receipt if there is one."""
    site = await db.get_one(Site, row.site_id)
    samples = await repository.samples_of(db, row.id)
    limits = await repository.limits_of(db, row)
    return {
        "session": row,
        "site": site,
        "energy_wh": delivered_wh(row),
        "over": row.status in OVER,
        "points": [[each.time_ms, each.power_w] for each in samples],
        "limits": limits,
    }
