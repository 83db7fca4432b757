"""A booking's states: every change is a compare-and-swap that takes the calendar rows along."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.kit.desired import mark_dirty
from baywatt_cloud.kit.domain import emit
from baywatt_cloud.models import Booking, BookingResource, BookingStatus
from baywatt_contract.topics import StateTopic

_DOMAIN_NAMES = {
    BookingStatus.ACTIVE: "ReservationUsed",
    BookingStatus.FULFILLED: "ReservationFulfilled",
    BookingStatus.NO_SHOW: "ReservationNoShow",
    BookingStatus.CANCELLED: "ReservationCancelled",
    BookingStatus.EXPIRED: "ReservationExpired",
}


def event_data(booking: Booking) -> dict[str, Any]:
    """What domain events tell of a booking."""
    return {
        "booking_id": booking.id,
        "user_id": booking.user_id,
        "site_id": booking.site_id,
        "evse_id": booking.evse_id,
        "bay_id": booking.bay_id,
        "from_ms": booking.from_ms,
        "to_ms": booking.to_ms,
        "hold_id": booking.hold_id,
        "quote_id": booking.quote_id,
    }


async def transition(
    db: AsyncSession,
    booking: Booking,
    to: BookingStatus,
    allowed: Collection[BookingStatus],
    now_ms: int,
    *,
    reason: str = "",
    trace: str = "",
) -> bool:
    """Change the status if it is one of `allowed` right now; False when somebody was faster.

    Tells the site (reservations become dirty) and the house (a domain event).
    """
    swapped = await db.scalar(
        update(Booking)
        .where(Booking.id == booking.id, Booking.status.in_(list(allowed)))
        .values(status=to, reason=reason, changed_ms=now_ms)
        .returning(Booking.id)
        .execution_options(synchronize_session=False)
    )
    await db.refresh(booking)
    if swapped is None:
        return False
    await db.execute(
        update(BookingResource).where(BookingResource.booking_id == booking.id).values(status=to)
    )
    await mark_dirty(db, StateTopic.RESERVATIONS, [booking.site_id])
    if to in _DOMAIN_NAMES:
        data = {**event_data(booking), "reason": reason}
        await emit(db, "charging", _DOMAIN_NAMES[to], data, trace=trace)
    return True
