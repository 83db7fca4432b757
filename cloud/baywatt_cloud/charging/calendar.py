"""Taking windows in the calendar. The database refuses overlaps; here that becomes a 409."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.kit.problems import TakenError
from baywatt_cloud.models import Booking, BookingResource

_RULE = "booking_resource_no_overlap"
_DEADLOCK = "40P01"


async def take(db: AsyncSession, booking: Booking, resource_ids: Sequence[int]) -> None:
    """Insert the booking and its rows; raises TakenError when any window is taken.

    Resources are locked and inserted in sorted order, so two bookings of the same things cannot
    wait for each other.
    """
    ordered = sorted(set(resource_ids))
    await lock(db, ordered)
    db.add(booking)
    await db.flush()
    for resource_id in ordered:
        db.add(
            BookingResource(
                booking_id=booking.id,
                resource_id=resource_id,
                status=booking.status,
                guard_from_ms=booking.from_ms,
                guard_to_ms=booking.to_ms,
            )
        )
        await flush(db)


async def lock(db: AsyncSession, ordered: Sequence[int]) -> None:
    """On PostgreSQL racers queue here, instead of failing each other with deadlocks."""
    if db.get_bind().dialect.name == "postgresql":
        for resource_id in ordered:
            await db.execute(
                text("SELECT pg_advisory_xact_lock(:space, :resource)"),
                {"space": 0x6261, "resource": resource_id % 2**31},
            )


async def flush(db: AsyncSession) -> None:
    """Write what is pending; raises TakenError if the no-overlap rule refuses it."""
    try:
        await db.flush()
    except DBAPIError as error:
        if is_overlap(error):
            raise TakenError("somebody else has booked this in an overlapping window") from error
        raise


def is_overlap(error: DBAPIError) -> bool:
    """Whether the no-overlap rule spoke (or two racers deadlocked over it)."""
    if getattr(error.orig, "sqlstate", None) == _DEADLOCK:
        return True
    return isinstance(error, IntegrityError) and _RULE in str(error.orig)
