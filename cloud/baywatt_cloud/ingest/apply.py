"""Events into rows, in order. One that cannot be applied is parked with its session."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.ingest import catalogue, sessions, wishes
from baywatt_cloud.ingest.errors import UnappliableError
from baywatt_cloud.ingest.scope import Scope
from baywatt_cloud.models import InboxEvent, InboxState, ParkedSession, Site
from baywatt_contract.events import Payload, parse_payload

_log = logging.getLogger(__name__)

Applier = Callable[[Scope, Any], Awaitable[None]]

APPLIERS: dict[str, Applier] = {
    "SiteDescribed": catalogue.site_described,
    "ConnectorChanged": catalogue.connector_changed,
    "AvailabilityChanged": catalogue.availability_changed,
    "BayChanged": catalogue.bay_changed,
    "FaultRaised": catalogue.fault_raised,
    "FaultCleared": catalogue.fault_cleared,
    "SessionAuthorised": sessions.session_authorised,
    "SessionRefused": sessions.session_refused,
    "ChargingStarted": sessions.charging_started,
    "MeterSampled": sessions.meter_sampled,
    "LimitChanged": sessions.limit_changed,
    "ChargingStopped": sessions.charging_stopped,
    "SessionEnded": sessions.session_ended,
    "CommandDone": wishes.command_done,
    "CommandRefused": wishes.command_refused,
    "ReservationApplied": wishes.reservation_applied,
    "ReservationUsed": wishes.reservation_used,
    "ReservationNoShow": wishes.reservation_no_show,
}
"""Types without an applier are evidence only (DaemonStarted, TelemetryDropped, newer ones)."""


async def apply_all(db: AsyncSession, site: Site, events: Sequence[InboxEvent], now_ms: int) -> int:
    """Apply in order within the caller's transaction; returns how many were parked."""
    parked = await _parked_sessions(db, site.id, events)
    count = 0
    for event in events:
        reason = event.error or await _apply_one(db, site, event, parked, now_ms)
        if reason is not None:
            _park(db, event, reason, parked, now_ms)
            count += 1
    return count


async def _parked_sessions(
    db: AsyncSession, site_id: str, events: Sequence[InboxEvent]
) -> set[str]:
    ids = {event.session_id for event in events if event.session_id}
    rows = await db.scalars(
        select(ParkedSession.session_id)
        .where(ParkedSession.site_id == site_id)
        .where(ParkedSession.session_id.in_(ids))
    )
    return set(rows)


async def _apply_one(
    db: AsyncSession, site: Site, event: InboxEvent, parked: set[str], now_ms: int
) -> str | None:
    """Why the event could not be applied, None when it was."""
    if event.session_id in parked:
        return "an earlier event of this session is parked"
    try:
        payload = parse_payload(event.type, event.data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return f"data.{'.'.join(map(str, first['loc']))}: {first['msg']}"
    applier = APPLIERS.get(event.type)
    if payload is None or applier is None:
        event.state = InboxState.STORED
        return None
    return await _run(applier, Scope(db, site, event, now_ms), payload)


async def _run(applier: Applier, scope: Scope, payload: Payload) -> str | None:
    """Run an applier in a savepoint, so that its failure leaves no trace but the reason."""
    try:
        async with scope.db.begin_nested():
            await applier(scope, payload)
    except UnappliableError as error:
        reason = str(error)
    except OperationalError:
        raise  # the database is in trouble, not the event: nothing is acknowledged
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        reason = f"the database refuses it: {error.orig}"
    except Exception as error:  # noqa: BLE001 - our bug must not stop the site
        _log.exception("cannot apply %s of %s", scope.event.type, scope.site.id)
        reason = f"{type(error).__name__}: {error}"
    else:
        scope.event.state = InboxState.APPLIED
        return None
    await scope.db.refresh(scope.site)  # the rollback expired what the applier had touched
    await scope.db.refresh(scope.event)
    return reason


def _park(db: AsyncSession, event: InboxEvent, reason: str, parked: set[str], now_ms: int) -> None:
    reason = reason.replace("\x00", "")[:1000]
    event.state, event.error = InboxState.PARKED, reason
    event_id = f"{event.site_id}:{event.epoch}:{event.seq}"
    if event.session_id is None or event.session_id in parked:
        return
    parked.add(event.session_id)
    _log.warning("session %s is parked at %s: %s", event.session_id, event_id, reason)
    db.add(
        ParkedSession(
            session_id=event.session_id,
            site_id=event.site_id,
            event_id=event_id[:200],
            reason=reason,
            parked_ms=now_ms,
        )
    )
