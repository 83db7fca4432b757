"""The site as it describes itself, and the state of its connectors and bays."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.ingest.errors import UnappliableError
from baywatt_cloud.ingest.scope import Scope
from baywatt_cloud.kit import ids
from baywatt_cloud.kit.domain import emit
from baywatt_cloud.models import Bay, Connector, Fault, Resource
from baywatt_contract.events import (
    AvailabilityChanged,
    BayChanged,
    ConnectorChanged,
    FaultCleared,
    FaultRaised,
    SiteConnector,
    SiteDescribed,
)


async def site_described(scope: Scope, payload: SiteDescribed) -> None:
    """Bring the catalogue to what the site says; what it no longer names becomes inactive."""
    site = scope.site
    if payload.site != site.id:
        raise UnappliableError(f"site {site.id!r} describes itself as {payload.site!r}")
    site.name, site.time_zone, site.currency = payload.name, payload.time_zone, payload.currency
    site.latitude, site.longitude = payload.latitude, payload.longitude
    site.fuse_a, site.bill, site.reserve = payload.fuse_a, payload.bill, payload.reserve
    site.description = payload.to_data()
    await _retire_all(scope.db, site.id)
    for bay in dict.fromkeys(payload.bays):
        await _describe_bay(scope, bay)
    for connector in {each.id: each for each in payload.connectors}.values():
        await _describe_connector(scope, connector)
    if site.described_ms is None:
        await emit(
            scope.db, "search", "StationAdded", {"station_id": site.id, "name": site.name},
            trace=scope.event.trace,
        )  # fmt: skip
    site.described_ms = scope.event.time_ms


async def _retire_all(db: AsyncSession, site_id: str) -> None:
    for table in (Bay, Connector):
        await db.execute(update(table).where(table.site_id == site_id).values(active=False))


async def _describe_bay(scope: Scope, local_id: str) -> None:
    key = ids.bay_id(scope.site.id, local_id)
    bay = await scope.db.get(Bay, key)
    if bay is None:
        resource = await _resource(scope, "bay", local_id)
        bay = Bay(id=key, site_id=scope.site.id, local_id=local_id, resource_id=resource)
        scope.db.add(bay)
    bay.active = True


async def _describe_connector(scope: Scope, described: SiteConnector) -> None:
    site_id = scope.site.id
    key = ids.evse_id(site_id, described.id)
    row = await scope.db.get(Connector, key)
    if row is None:
        resource = await _resource(scope, "evse", str(described.id))
        row = Connector(id=key, site_id=site_id, number=described.id, resource_id=resource)
        scope.db.add(row)
    row.station, row.evse, row.plug = described.station, described.evse, described.plug
    row.current_kind, row.max_power_w = described.current_kind, described.max_power_w
    row.phases, row.bookable = list(described.phases), described.bookable
    row.bay_id = ids.bay_id(site_id, described.bay) if described.bay else None
    row.active = True


async def _resource(scope: Scope, kind: str, local_id: str) -> int:
    found = await scope.db.scalar(
        select(Resource.id).where(
            Resource.site_id == scope.site.id,
            Resource.kind == kind,
            Resource.local_id == local_id,
        )
    )
    if found is not None:
        return int(found)
    made = Resource(site_id=scope.site.id, kind=kind, local_id=local_id)
    scope.db.add(made)
    await scope.db.flush()
    return made.id


async def connector_changed(scope: Scope, payload: ConnectorChanged) -> None:
    """A connector's status; the newest event wins."""
    row = await scope.db.get(Connector, scope.evse_id(payload.connector))
    if row is None:
        raise UnappliableError(f"connector {payload.connector} was never described")
    row.status, row.status_ms = payload.status, scope.event.time_ms
    row.status_reason = payload.reason or (payload.fault or "")


async def availability_changed(scope: Scope, payload: AvailabilityChanged) -> None:
    """In or out of service; connector 0 stands for all."""
    statement = update(Connector).where(Connector.site_id == scope.site.id)
    if payload.connector:
        statement = statement.where(Connector.number == payload.connector)
    await scope.db.execute(statement.values(operative=payload.operative))


async def bay_changed(scope: Scope, payload: BayChanged) -> None:
    """A bay's debounced state."""
    row = await scope.db.get(Bay, ids.bay_id(scope.site.id, payload.bay))
    if row is None:
        raise UnappliableError(f"bay {payload.bay!r} was never described")
    row.state, row.state_ms = payload.state, scope.event.time_ms
    await emit(
        scope.db, "parking", "BayChanged", {"bay_id": row.id, "state": row.state},
        trace=scope.event.trace,
    )  # fmt: skip


async def fault_raised(scope: Scope, payload: FaultRaised) -> None:
    """A fault begins."""
    event = scope.event
    scope.db.add(
        Fault(
            site_id=scope.site.id,
            epoch=event.epoch,
            seq=event.seq,
            fault=payload.fault,
            connector=payload.connector,
            device=payload.device,
            detail=payload.detail,
            raised_ms=event.time_ms,
        )
    )
    data = {"site_id": scope.site.id, **payload.to_data()}
    await emit(scope.db, "charging", "FaultRaised", data, trace=event.trace)


async def fault_cleared(scope: Scope, payload: FaultCleared) -> None:
    """The open fault of the same kind and place ends."""
    await scope.db.execute(
        update(Fault)
        .where(Fault.site_id == scope.site.id, Fault.fault == payload.fault)
        .where(Fault.connector.is_not_distinct_from(payload.connector))
        .where(Fault.device.is_not_distinct_from(payload.device))
        .where(Fault.cleared_ms.is_(None))
        .values(cleared_ms=scope.event.time_ms)
    )
    data = {"site_id": scope.site.id, **payload.to_data()}
    await emit(scope.db, "charging", "FaultCleared", data, trace=scope.event.trace)
