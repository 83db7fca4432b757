"""Booking, cancelling, extending: what a driver may do with the calendar."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.charging import calendar, lifecycle, repository
from baywatt_cloud.charging.errors import (
    NotBookableError,
    QuoteExpiredError,
    WindowError,
    WrongStateError,
)
from baywatt_cloud.charging.schemas import BookingRequest, BookingView
from baywatt_cloud.kit.clock import to_ms
from baywatt_cloud.kit.desired import mark_dirty
from baywatt_cloud.kit.domain import emit
from baywatt_cloud.kit.identity import Person
from baywatt_cloud.kit.ids import new_id, new_pin
from baywatt_cloud.kit.ports import Payments
from baywatt_cloud.kit.problems import NotFoundError, TakenError
from baywatt_cloud.models import (
    Bay,
    Booking,
    BookingResource,
    BookingStatus,
    Connector,
    Quote,
    Site,
)
from baywatt_contract.clock import format_utc_ms
from baywatt_contract.topics import StateTopic

_MINUTE_MS = 60_000
SHORTEST_MS = 5 * _MINUTE_MS
LONGEST_MS = 48 * 60 * _MINUTE_MS
_FARTHEST_MS = 90 * 24 * 60 * _MINUTE_MS
_LATE_MS = 5 * _MINUTE_MS  # a window may have begun this long ago


@dataclass(frozen=True, slots=True)
class Place:
    """What a booking takes: a connector with the bay its car stands in, or a bay alone."""

    site: Site
    connector: Connector | None
    bay: Bay | None

    @property
    def resource_ids(self) -> list[int]:
        """What must not be taken twice."""
        return [each.resource_id for each in (self.connector, self.bay) if each is not None]


async def book(
    db: AsyncSession, payments: Payments, person: Person, request: BookingRequest, now_ms: int
) -> Booking:
    """Take a window, or raise TakenError, NotBookableError, WindowError, PaymentDeclinedError."""
    quote = await _quote(db, request.quote_id, person, now_ms) if request.quote_id else None
    booking = _draft(person, request, quote, now_ms)
    check_window(booking.from_ms, booking.to_ms, now_ms)
    place = await find_place(db, booking.evse_id, booking.bay_id)
    booking.site_id = place.site.id
    booking.bay_id = place.bay.id if place.bay else None
    await calendar.take(db, booking, place.resource_ids)
    if quote is not None:
        booking.hold_id = await payments.hold(
            db, person.id, quote.worst_minor, quote.currency, booking.id
        )
    await mark_dirty(db, StateTopic.RESERVATIONS, [booking.site_id])
    await emit(db, "charging", "ReservationCreated", lifecycle.event_data(booking))
    return booking


async def _quote(db: AsyncSession, quote_id: str, person: Person, now_ms: int) -> Quote:
    quote = await db.get(Quote, quote_id)
    if quote is None or quote.user_id != person.id:
        raise NotFoundError(f"no quote {quote_id} of yours")
    if quote.valid_until_ms < now_ms:
        raise QuoteExpiredError("ask for a new quote")
    return quote


def _draft(person: Person, request: BookingRequest, quote: Quote | None, now_ms: int) -> Booking:
    window = (request.from_, request.to)
    from_ms, to_ms_ = (to_ms(moment) if moment else 0 for moment in window)
    return Booking(
        id=new_id("bk", now_ms),
        user_id=person.id,
        evse_id=quote.evse_id if quote else request.evse_id,
        bay_id=quote.bay_id if quote else request.bay_id,
        from_ms=quote.from_ms if quote else from_ms,
        to_ms=quote.to_ms if quote else to_ms_,
        status=BookingStatus.RESERVED,
        pin=new_pin(),
        quote_id=quote.id if quote else None,
        created_ms=now_ms,
        changed_ms=now_ms,
    )


def check_window(from_ms: int, to_ms: int, now_ms: int) -> None:
    """Raises WindowError unless the window is sane."""
    if to_ms - from_ms < SHORTEST_MS:
        raise WindowError(f"a window lasts at least {SHORTEST_MS // _MINUTE_MS} minutes")
    if to_ms - from_ms > LONGEST_MS:
        raise WindowError(f"a window lasts at most {LONGEST_MS // _MINUTE_MS // 60} hours")
    if from_ms < now_ms - _LATE_MS or to_ms <= now_ms:
        raise WindowError("the window has begun already")
    if from_ms > now_ms + _FARTHEST_MS:
        raise WindowError("at most 90 days ahead")


async def find_place(db: AsyncSession, evse_id: str | None, bay_id: str | None) -> Place:
    """The bookable things behind the ids; raises NotFoundError or NotBookableError."""
    connector = await db.get(Connector, evse_id) if evse_id else None
    if evse_id and (connector is None or not connector.active):
        raise NotFoundError(f"no connector {evse_id}")
    if connector is not None:
        if bay_id not in (None, connector.bay_id):
            raise NotBookableError(f"bay {bay_id} does not belong to connector {evse_id}")
        bay_id = connector.bay_id
    bay = await db.get(Bay, bay_id) if bay_id else None
    if bay_id and (bay is None or not bay.active):
        raise NotFoundError(f"no bay {bay_id}")
    site_id = connector.site_id if connector else bay.site_id if bay else ""
    place = Place(await db.get_one(Site, site_id), connector, bay)
    _check_bookable(place)
    return place


def _check_bookable(place: Place) -> None:
    if place.site.reserve != "cloud":
        raise NotBookableError(f"{place.site.name} is booked with its own operator")
    connector = place.connector
    if connector is not None and not (connector.bookable and connector.operative):
        raise NotBookableError(f"connector {connector.id} cannot be booked now")


async def cancel(
    db: AsyncSession, payments: Payments, booking: Booking, now_ms: int, reason: str
) -> None:
    """Give the window back; a second time is no error. Raises WrongStateError once it is used."""
    if booking.status == BookingStatus.CANCELLED:
        return
    before_use = (BookingStatus.HELD, BookingStatus.RESERVED)
    to = BookingStatus.CANCELLED
    if not await lifecycle.transition(db, booking, to, before_use, now_ms, reason=reason):
        raise WrongStateError(f"the booking is {booking.status}")
    if booking.hold_id:
        await payments.release(db, booking.hold_id)


async def extend(db: AsyncSession, booking: Booking, to_ms: int, now_ms: int) -> None:
    """Stay longer, through the same no-overlap rule; 409 names when the next one begins."""
    if booking.status not in {BookingStatus.RESERVED, BookingStatus.ACTIVE}:
        raise WrongStateError(f"the booking is {booking.status}")
    if to_ms <= booking.to_ms:
        raise WindowError("the new end must be later than the old one")
    if to_ms - booking.from_ms > LONGEST_MS:
        raise WindowError(f"a window lasts at most {LONGEST_MS // _MINUTE_MS // 60} hours")
    rows = await _rows(db, booking)
    resource_ids = sorted(row.resource_id for row in rows)
    await calendar.lock(db, resource_ids)
    next_ms = await repository.next_booked_ms(db, resource_ids, booking.to_ms)
    if next_ms is not None and next_ms < to_ms:
        raise TakenError("the next booking begins before that", until=format_utc_ms(next_ms))
    for row in sorted(rows, key=lambda row: row.resource_id):
        row.guard_to_ms = to_ms
        await calendar.flush(db)
    await db.execute(
        update(Booking).where(Booking.id == booking.id).values(to_ms=to_ms, changed_ms=now_ms)
    )
    await mark_dirty(db, StateTopic.RESERVATIONS, [booking.site_id])
    await emit(db, "charging", "ReservationExtended", lifecycle.event_data(booking))


async def _rows(db: AsyncSession, booking: Booking) -> list[BookingResource]:
    rows = await db.scalars(select(BookingResource).where(BookingResource.booking_id == booking.id))
    return list(rows)


async def view(db: AsyncSession, booking: Booking) -> BookingView:
    """The booking as its driver sees it."""
    held = max(booking.applied_rev or 0, await repository.reservations_held(db, booking.site_id))
    applied = booking.rev is not None and held >= booking.rev
    return BookingView(
        booking_id=booking.id,
        status=booking.status,
        sync="applied" if applied else "pending",
        pin=booking.pin,
        station_id=booking.site_id,
        evse_id=booking.evse_id,
        bay_id=booking.bay_id,
        from_=format_utc_ms(booking.from_ms),
        to=format_utc_ms(booking.to_ms),
        session_id=booking.session_id,
        quote_id=booking.quote_id,
        reason=booking.reason,
    )
