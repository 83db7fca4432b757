"""What the operator's page shows: every site as it stands now, and what happened last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.billing import service as billing
from baywatt_cloud.billing.models import Invoice, ParkedBill, Payment
from baywatt_cloud.charging.views import STALE_MS, delivered_wh
from baywatt_cloud.kit.identity import Person
from baywatt_cloud.kit.live import LiveHub
from baywatt_cloud.models import (
    BLOCKING,
    Bay,
    Booking,
    ChargingSession,
    Connector,
    Fault,
    Site,
    User,
)

_ROWS = 12


@dataclass(frozen=True, slots=True)
class Tile:
    """A connector with its bay."""

    id: str
    number: int
    status: str
    reason: str
    plug: str
    bay: str
    bay_state: str
    power_w: int
    limit_ma: int
    session: str | None
    energy_wh: int


@dataclass(frozen=True, slots=True)
class SiteBoard:
    """A site: its tiles, bays of their own, and the load on each phase of its fuse."""

    site: Site
    online: bool
    tiles: list[Tile]
    bays: list[Bay]
    phases: list[tuple[int, float]]  # amperes, percent of the fuse
    power_w: int
    faults: list[Fault]


async def sites(db: AsyncSession, hub: LiveHub, now_ms: int) -> list[SiteBoard]:
    """Every described site, by name."""
    rows = await db.scalars(select(Site).order_by(Site.name, Site.id))
    return [await _board(db, site, hub, now_ms) for site in rows]


async def _board(db: AsyncSession, site: Site, hub: LiveHub, now_ms: int) -> SiteBoard:
    heard = hub.latest(site.id)
    live = heard[0] if heard and now_ms - heard[1] <= STALE_MS else None
    bays = {
        row.id: row
        for row in await db.scalars(
            select(Bay).where(Bay.site_id == site.id, Bay.active).order_by(Bay.id)
        )
    }
    connectors = await db.scalars(
        select(Connector)
        .where(Connector.site_id == site.id, Connector.active)
        .order_by(Connector.number)
    )
    open_sessions = {
        row.connector: row
        for row in await db.scalars(
            select(ChargingSession)
            .where(ChargingSession.site_id == site.id, ChargingSession.ended_ms.is_(None))
            .order_by(ChargingSession.authorised_ms)
        )
    }
    tiles = []
    for row in connectors:
        bay = bays.pop(row.bay_id, None) if row.bay_id else None
        now = live.connectors.get(row.number) if live else None
        tiles.append(_tile(row, bay, open_sessions.get(row.number), now))
    faults = await db.scalars(
        select(Fault).where(Fault.site_id == site.id, Fault.cleared_ms.is_(None))
    )
    amperes = [ma // 1000 for ma in live.supply_ma] if live else []
    return SiteBoard(
        site=site,
        online=site.online,
        tiles=tiles,
        bays=list(bays.values()),
        phases=[(a, min(100.0, 100 * a / site.fuse_a) if site.fuse_a else 0.0) for a in amperes],
        power_w=sum(tile.power_w for tile in tiles),
        faults=list(faults),
    )


def _tile(row: Connector, bay: Bay | None, session: ChargingSession | None, now: Any) -> Tile:  # noqa: ANN401
    energy = now.energy_wh if now and now.energy_wh is not None else None
    return Tile(
        id=row.id,
        number=row.number,
        status=now.status if now else row.status,
        reason=(now.reason if now else "") or row.status_reason,
        plug=row.plug,
        bay=bay.local_id if bay else "",
        bay_state=bay.state if bay else "",
        power_w=now.power_w if now else 0,
        limit_ma=now.limit_ma if now else 0,
        session=session.id if session else None,
        energy_wh=energy if energy is not None else delivered_wh(session) if session else 0,
    )


async def latest(db: AsyncSession, person: Person) -> dict[str, Any]:
    """Sessions, bookings, invoices and what needs a person, newest first."""
    sessions = await db.execute(
        select(ChargingSession, User.email, Site.time_zone)
        .outerjoin(User, User.id == ChargingSession.user_id)
        .join(Site, Site.id == ChargingSession.site_id)
        .order_by(ChargingSession.authorised_ms.desc())
        .limit(_ROWS)
    )
    bookings = await db.execute(
        select(Booking, User.email, Site.time_zone)
        .join(User, User.id == Booking.user_id)
        .join(Site, Site.id == Booking.site_id)
        .where(Booking.status.in_(BLOCKING))
        .order_by(Booking.from_ms)
        .limit(_ROWS)
    )
    invoices = await billing.list_for(db, person, session_id=None, limit=_ROWS, offset=0)
    parked = await db.scalars(select(ParkedBill).order_by(ParkedBill.parked_ms.desc()).limit(_ROWS))
    return {
        "sessions": [(row[0], row[1], row[2], delivered_wh(row[0])) for row in sessions],
        "bookings": [tuple(row) for row in bookings],
        "invoices": _summaries(invoices),
        "parked": list(parked),
    }


def _summaries(rows: list[tuple[Invoice, Payment | None]]) -> list[Any]:
    return [billing.summary(*row) for row in rows]
