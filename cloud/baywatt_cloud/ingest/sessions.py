"""A visit in rows: authorised, charging with its readings, stopped, ended."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.auth.repository import token_by_uid
from baywatt_cloud.charging import lifecycle
from baywatt_cloud.charging.tariffs import tariff_of_session
from baywatt_cloud.ingest.errors import UnappliableError
from baywatt_cloud.ingest.scope import Scope
from baywatt_cloud.kit.domain import emit
from baywatt_cloud.models import (
    Booking,
    BookingStatus,
    ChargingSession,
    LimitChange,
    MeterSample,
    User,
)
from baywatt_contract.clock import ClockQuality
from baywatt_contract.events import (
    ChargingStarted,
    ChargingStopped,
    LimitChanged,
    MeterSampled,
    SampleContext,
    SessionAuthorised,
    SessionEnded,
    SessionRefused,
)

_WORSE = [ClockQuality.SYNCED, ClockQuality.HELD, ClockQuality.UNSYNCED]


async def session_authorised(scope: Scope, payload: SessionAuthorised) -> None:
    """A visit begins; driver and booking are looked up, never taken on trust."""
    if await scope.db.get(ChargingSession, payload.session) is not None:
        raise UnappliableError(f"session {payload.session} exists already")
    booking = await _booking(scope, payload.booking_id)
    if booking is not None:
        booking.session_id = payload.session
    scope.db.add(
        ChargingSession(
            id=payload.session,
            site_id=scope.site.id,
            connector=payload.connector,
            evse_id=scope.evse_id(payload.connector),
            user_id=await _driver(scope.db, payload, booking),
            booking_id=booking.id if booking else None,
            quote_id=booking.quote_id if booking else None,
            hold_id=booking.hold_id if booking else None,
            command_id=payload.command_id,
            source=payload.source,
            authority=payload.authority,
            token=payload.token,
            bill=payload.bill,
            status="authorised",
            authorised_ms=scope.event.time_ms,
            clock=scope.event.clock,
        )
    )


async def _booking(scope: Scope, booking_id: str | None) -> Booking | None:
    booking = await scope.db.get(Booking, booking_id) if booking_id else None
    return booking if booking and booking.site_id == scope.site.id else None


async def _driver(
    db: AsyncSession, payload: SessionAuthorised, booking: Booking | None
) -> str | None:
    if booking is not None:
        return booking.user_id
    user = await db.get(User, payload.driver_id) if payload.driver_id else None
    if user is not None:
        return user.id
    token = await token_by_uid(db, payload.token)
    return token.user_id if token and token.active else None


async def session_refused(scope: Scope, payload: SessionRefused) -> None:
    """Somebody was turned away; operators see it as a domain event."""
    data = {"evse_id": scope.evse_id(payload.connector), "reason": payload.reason}
    data |= {"site_id": scope.site.id, "source": payload.source}
    await emit(scope.db, "charging", "SessionRefused", data, trace=scope.event.trace)


async def _session(scope: Scope, session_id: str) -> ChargingSession:
    row = await scope.db.get(ChargingSession, session_id)
    if row is None or row.site_id != scope.site.id:
        raise UnappliableError(f"session {session_id} was never authorised")
    quality = ClockQuality(scope.event.clock)
    if _WORSE.index(quality) > _WORSE.index(ClockQuality(row.clock)):
        row.clock = quality
    return row


def _read(row: ChargingSession, energy_wh: int) -> None:
    """A register only ever counts up: anything else needs a person, never a guess."""
    if row.last_wh is not None and energy_wh < row.last_wh:
        raise UnappliableError(f"the register fell from {row.last_wh} to {energy_wh} Wh")


def _sample(scope: Scope, row: ChargingSession, energy_wh: int, **values: Any) -> MeterSample:  # noqa: ANN401
    event = scope.event
    empty = {"power_w": 0, "current_ma": [0, 0, 0], "voltage_mv": None, "offered_ma": 0}
    return MeterSample(
        session_id=row.id,
        epoch=event.epoch,
        seq=event.seq,
        time_ms=event.time_ms,
        mono_ms=event.mono_ms,
        boot=event.boot,
        energy_wh=energy_wh,
        **(empty | values),
    )


async def charging_started(scope: Scope, payload: ChargingStarted) -> None:
    """The transaction begins: begin register and tariff are frozen."""
    row = await _session(scope, payload.session)
    if row.begin_wh is not None:
        raise UnappliableError(f"session {row.id} has begun already")
    row.begin_wh = row.last_wh = payload.energy_wh
    row.meter, row.started_ms, row.status = payload.meter, scope.event.time_ms, "charging"
    tariff = await tariff_of_session(scope.db, row, scope.event.time_ms)
    if tariff is not None:
        row.tariff_id, row.tariff_version = tariff.id, tariff.version
    scope.db.add(_sample(scope, row, payload.energy_wh, context=SampleContext.BEGIN))
    await emit(scope.db, "charging", "ChargingStarted", event_data(row), trace=scope.event.trace)


async def meter_sampled(scope: Scope, payload: MeterSampled) -> None:
    """A reading within the transaction."""
    row = await _session(scope, payload.session)
    if row.begin_wh is None or row.end_wh is not None:
        raise UnappliableError(f"a reading outside the transaction of session {row.id}")
    _read(row, payload.energy_wh)
    row.last_wh, row.power_w = payload.energy_wh, payload.power_w
    values = {
        "context": payload.context,
        "power_w": payload.power_w,
        "current_ma": list(payload.current_ma),
        "voltage_mv": list(payload.voltage_mv) if payload.voltage_mv else None,
        "offered_ma": payload.offered_ma,
        "vehicle_requests": payload.vehicle_requests,
    }
    scope.db.add(_sample(scope, row, payload.energy_wh, **values))


async def limit_changed(scope: Scope, payload: LimitChanged) -> None:
    """What the connector may draw from now on, and why."""
    event = scope.event
    row = await scope.db.get(ChargingSession, payload.session) if payload.session else None
    if row is not None and row.site_id == scope.site.id:
        row.limit_ma = payload.limit_ma
    scope.db.add(
        LimitChange(
            site_id=scope.site.id,
            connector=payload.connector,
            session_id=payload.session,
            epoch=event.epoch,
            seq=event.seq,
            time_ms=event.time_ms,
            limit_ma=payload.limit_ma,
            rule=payload.rule,
            reason=payload.reason,
        )
    )


async def charging_stopped(scope: Scope, payload: ChargingStopped) -> None:
    """The transaction ends: the end register closes the energy."""
    row = await _session(scope, payload.session)
    if row.begin_wh is None or row.end_wh is not None:
        raise UnappliableError(f"session {row.id} has no open transaction")
    _read(row, payload.energy_wh)
    row.end_wh = row.last_wh = payload.energy_wh
    row.power_w, row.stopped_ms, row.status = 0, scope.event.time_ms, "stopped"
    row.stop_reason, row.duration_ms = payload.reason, payload.duration_ms
    row.estimated = payload.estimated
    scope.db.add(_sample(scope, row, payload.energy_wh, context=SampleContext.END))
    await emit(scope.db, "charging", "ChargingStopped", event_data(row), trace=scope.event.trace)
    await _complete(scope, row)


async def session_ended(scope: Scope, payload: SessionEnded) -> None:
    """The car is gone."""
    row = await _session(scope, payload.session)
    if row.ended_ms is not None:
        raise UnappliableError(f"session {row.id} has ended already")
    row.ended_ms, row.end_reason = scope.event.time_ms, payload.reason
    if row.begin_wh is None:
        row.status = "aborted"  # authorised, never charged
        await _give_booking_back(scope, row)
        await emit(scope.db, "charging", "SessionAborted", event_data(row))
    await _complete(scope, row)


async def _complete(scope: Scope, row: ChargingSession) -> None:
    """Exactly once, when both the transaction and the visit are over."""
    if row.end_wh is None or row.ended_ms is None or row.completed_ms is not None:
        return
    row.status, row.completed_ms = "ended", scope.now_ms
    booking = await scope.db.get(Booking, row.booking_id) if row.booking_id else None
    if booking is not None:
        open_ones = (BookingStatus.RESERVED, BookingStatus.ACTIVE)
        await lifecycle.transition(
            scope.db, booking, BookingStatus.FULFILLED, open_ones, scope.now_ms
        )
    await emit(scope.db, "charging", "ChargingCompleted", event_data(row), trace=scope.event.trace)


async def _give_booking_back(scope: Scope, row: ChargingSession) -> None:
    """The driver came, but did not charge: until the window is over the booking is theirs."""
    booking = await scope.db.get(Booking, row.booking_id) if row.booking_id else None
    if booking is not None and booking.to_ms > scope.event.time_ms:
        active = (BookingStatus.ACTIVE,)
        await lifecycle.transition(scope.db, booking, BookingStatus.RESERVED, active, scope.now_ms)


def event_data(row: ChargingSession) -> dict[str, Any]:
    """What domain events tell of a session."""
    delivered = None if row.begin_wh is None or row.last_wh is None else row.last_wh - row.begin_wh
    return {
        "session_id": row.id,
        "site_id": row.site_id,
        "evse_id": row.evse_id,
        "user_id": row.user_id,
        "booking_id": row.booking_id,
        "quote_id": row.quote_id,
        "hold_id": row.hold_id,
        "bill": row.bill,
        "energy_wh": delivered,
        "begin_wh": row.begin_wh,
        "end_wh": row.end_wh,
    }
