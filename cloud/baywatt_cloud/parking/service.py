"""Which bays are free."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.charging.repository import booked_resources
from baywatt_cloud.parking.schemas import BayView
from baywatt_cloud.search import repository
from baywatt_cloud.search.geo import Point, box_around
from baywatt_cloud.search.schemas import Location
from baywatt_contract.observations import BayState

_NOW_MS = 15 * 60_000


async def availability(
    db: AsyncSession, centre: Point, radius_m: int, window: tuple[int, int] | None, now_ms: int
) -> list[BayView]:
    """All bays near a place. Without a window `free` means: now, by sensor and calendar."""
    near = await repository.sites_near(db, centre, box_around(centre, radius_m), radius_m, None)
    sites = {site.id: (away_m, site) for away_m, site in near}
    booked = await booked_resources(db, *(window or (now_ms, now_ms + _NOW_MS)))
    connectors: dict[str, list[str]] = {}
    for connector in await repository.connectors_of(db, list(sites)):
        connectors.setdefault(connector.bay_id or "", []).append(connector.id)
    views = []
    for bay in await repository.bays_of(db, list(sites)):
        away_m, site = sites[bay.site_id]
        state = bay.state if repository.is_fresh(site, now_ms) else "unknown"
        calendar_free = bay.resource_id not in booked
        views.append(
            BayView(
                bay_id=bay.id,
                station_id=site.id,
                name=site.name,
                location=Location(latitude=site.latitude or 0.0, longitude=site.longitude or 0.0),
                distance_m=away_m,
                state=state,
                free=calendar_free and (window is not None or state == BayState.VACANT),
                evse_ids=connectors.get(bay.id, []),
            )
        )
    return sorted(views, key=lambda view: (view.distance_m, view.bay_id))
