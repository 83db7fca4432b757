"""What nobody triggers: windows that ended unused, bookings that come into the site's horizon."""

from __future__ import annotations

import asyncio

from sqlalchemy import ColumnElement, delete, select

from baywatt_cloud.charging import lifecycle
from baywatt_cloud.charging.desired import HORIZON_MS
from baywatt_cloud.kit.desired import mark_dirty
from baywatt_cloud.kit.services import Services
from baywatt_cloud.kit.workers import unbroken
from baywatt_cloud.models import BLOCKING, Booking, BookingStatus, ChargingSession, IdempotencyKey
from baywatt_contract.topics import StateTopic

_EVERY_S = 30.0
_GRACE_MS = 15 * 60_000  # the site's own word on a window may still come
_KEYS_MS = 48 * 3600_000


async def run(services: Services) -> None:
    """Sweep for ever."""
    while True:
        await unbroken(sweep(services))
        await asyncio.sleep(_EVERY_S)


async def sweep(services: Services) -> int:
    """Expire what is over, mark what comes near; returns how many bookings expired."""
    now_ms = services.clock()
    async with services.database.write() as db:
        await db.execute(
            delete(IdempotencyKey).where(IdempotencyKey.created_ms < now_ms - _KEYS_MS)
        )
        near = await db.scalars(
            select(Booking.site_id)
            .where(Booking.status == BookingStatus.RESERVED, Booking.rev.is_(None))
            .where(Booking.from_ms < now_ms + HORIZON_MS)
            .distinct()
        )
        if sites := list(near):
            await mark_dirty(db, StateTopic.RESERVATIONS, sites)
    return await _expire(services, now_ms)


async def _expire(services: Services, now_ms: int) -> int:
    async with services.database.write() as db:
        rows = await db.scalars(
            select(Booking)
            .where(Booking.status.in_(BLOCKING), Booking.to_ms < now_ms - _GRACE_MS)
            .where(~_open_session())
            .limit(500)
        )
        over = list(rows)
        for booking in over:
            await lifecycle.transition(
                db, booking, BookingStatus.EXPIRED, BLOCKING, now_ms, reason="the window is over"
            )
            if booking.hold_id:
                await services.payments.release(db, booking.hold_id)
    return len(over)


def _open_session() -> ColumnElement[bool]:
    """A session of the booking still runs: its end will settle the booking."""
    return (
        select(ChargingSession.id)
        .where(ChargingSession.booking_id == Booking.id)
        .where(ChargingSession.status.in_(["authorised", "charging", "stopped"]))
        .exists()
    )
