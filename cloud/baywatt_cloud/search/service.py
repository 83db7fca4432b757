"""Which stations fit what a driver wants."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.charging.repository import booked_resources
from baywatt_cloud.models import Bay, Connector, Site
from baywatt_cloud.search import repository
from baywatt_cloud.search.geo import Point, box_around
from baywatt_cloud.search.schemas import EvseView, Location, StationView

_FREE = {"Available", "Preparing", "Reserved"}
_NOW_MS = 15 * 60_000  # "free now" means: not booked within the next quarter of an hour


@dataclass(frozen=True, slots=True)
class Wanted:
    """A driver's filters."""

    centre: Point
    radius_m: int
    q: str | None = None
    plug: str | None = None
    min_power_w: int = 0
    window_ms: tuple[int, int] | None = None
    bay: bool = False


async def find(db: AsyncSession, wanted: Wanted, now_ms: int) -> list[StationView]:
    """Fitting stations, nearest first; with a window only connectors that are free in it."""
    box = box_around(wanted.centre, wanted.radius_m)
    near = await repository.sites_near(db, wanted.centre, box, wanted.radius_m, wanted.q)
    ids = [site.id for _, site in near]
    bays = {bay.id: bay for bay in await repository.bays_of(db, ids)}
    by_site: dict[str, list[Connector]] = {}
    for connector in await repository.connectors_of(db, ids):
        by_site.setdefault(connector.site_id, []).append(connector)
    window = wanted.window_ms or (now_ms, now_ms + _NOW_MS)
    booked = await booked_resources(db, *window)
    stations = []
    for away_m, site in near:
        fresh = repository.is_fresh(site, now_ms)
        views = [
            _evse(each, bays.get(each.bay_id or ""), booked, wanted, fresh=fresh)
            for each in by_site.get(site.id, [])
            if _fits(each, wanted)
        ]
        evses = [each for each in views if each.free or wanted.window_ms is None]
        if evses:
            stations.append(_station(site, away_m, evses, fresh=fresh))
    return stations


def _fits(connector: Connector, wanted: Wanted) -> bool:
    if wanted.plug and connector.plug != wanted.plug:
        return False
    if wanted.bay and connector.bay_id is None:
        return False
    return connector.max_power_w >= wanted.min_power_w


def _evse(
    row: Connector, bay: Bay | None, booked: set[int], wanted: Wanted, *, fresh: bool
) -> EvseView:
    calendar_free = row.resource_id not in booked and (bay is None or bay.resource_id not in booked)
    usable = row.bookable and row.operative
    now_free = row.status in _FREE and fresh if wanted.window_ms is None else True
    return EvseView(
        evse_id=row.id,
        status=row.status if fresh else "Unknown",
        bay_id=row.bay_id,
        bay_state=None if bay is None else bay.state if fresh else "unknown",
        plug=row.plug,
        current_kind=row.current_kind,
        max_power_w=row.max_power_w,
        free=calendar_free and usable and now_free,
    )


def _station(site: Site, away_m: int, evses: list[EvseView], *, fresh: bool) -> StationView:
    return StationView(
        station_id=site.id,
        name=site.name,
        location=Location(latitude=site.latitude or 0.0, longitude=site.longitude or 0.0),
        distance_m=away_m,
        time_zone=site.time_zone,
        currency=site.currency,
        online=fresh,
        evses=evses,
    )
