"""Queries about bookings, commands and sessions."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.kit.identity import Person
from baywatt_cloud.kit.problems import NotFoundError
from baywatt_cloud.models import (
    BLOCKING,
    Booking,
    BookingResource,
    ChargingSession,
    Command,
    DesiredState,
    InboxEvent,
    LimitChange,
    MeterSample,
    ParkedSession,
    UserToken,
)
from baywatt_contract.topics import StateTopic


async def booking_for(
    db: AsyncSession, booking_id: str, person: Person, *, lock: bool = False
) -> Booking:
    """A booking that the person may see; raises NotFoundError for all others."""
    booking = await db.get(Booking, booking_id, with_for_update=lock or None)
    if booking is None or (booking.user_id != person.id and not person.is_operator):
        raise NotFoundError(f"no booking {booking_id} of yours")
    return booking


async def session_for(db: AsyncSession, session_id: str, person: Person) -> ChargingSession:
    """A session that the person may see; raises NotFoundError for all others."""
    row = await db.get(ChargingSession, session_id)
    if row is None or (row.user_id != person.id and not person.is_operator):
        raise NotFoundError(f"no session {session_id} of yours")
    return row


async def command_for(db: AsyncSession, command_id: str, person: Person) -> Command:
    """A command that the person may see; raises NotFoundError for all others."""
    row = await db.get(Command, command_id)
    if row is None or (row.user_id != person.id and not person.is_operator):
        raise NotFoundError(f"no command {command_id} of yours")
    return row


async def bookings_of(db: AsyncSession, user_id: str, limit: int, offset: int) -> list[Booking]:
    """A person's bookings, newest window first."""
    rows = await db.scalars(
        select(Booking)
        .where(Booking.user_id == user_id)
        .order_by(Booking.from_ms.desc(), Booking.id)
        .limit(limit)
        .offset(offset)
    )
    return list(rows)


async def sessions_of(
    db: AsyncSession, user_id: str, limit: int, offset: int
) -> list[ChargingSession]:
    """A person's sessions, newest first."""
    rows = await db.scalars(
        select(ChargingSession)
        .where(ChargingSession.user_id == user_id)
        .order_by(ChargingSession.authorised_ms.desc(), ChargingSession.id)
        .limit(limit)
        .offset(offset)
    )
    return list(rows)


async def reservations_held(db: AsyncSession, site_id: str) -> int:
    """The reservations revision that the site said it holds."""
    state = await db.get(DesiredState, (site_id, StateTopic.RESERVATIONS))
    return (state.applied_rev or 0) if state else 0


async def next_booked_ms(db: AsyncSession, resource_ids: list[int], after_ms: int) -> int | None:
    """When the next blocking booking of any of these resources begins at or after a moment."""
    found = await db.scalar(
        select(BookingResource.guard_from_ms)
        .where(BookingResource.resource_id.in_(resource_ids))
        .where(BookingResource.status.in_(BLOCKING))
        .where(BookingResource.guard_from_ms >= after_ms)
        .order_by(BookingResource.guard_from_ms)
        .limit(1)
    )
    return None if found is None else int(found)


async def booked_resources(db: AsyncSession, from_ms: int, to_ms: int) -> set[int]:
    """Which resources are taken at any time within a window."""
    rows = await db.scalars(
        select(BookingResource.resource_id)
        .where(BookingResource.status.in_(BLOCKING))
        .where(BookingResource.guard_from_ms < to_ms, BookingResource.guard_to_ms > from_ms)
        .distinct()
    )
    return set(rows)


async def app_token(db: AsyncSession, user_id: str) -> str:
    """The identity under which the app starts sessions of a person."""
    uid: str | None = await db.scalar(
        select(UserToken.uid).where(UserToken.user_id == user_id, UserToken.kind == "app").limit(1)
    )
    if uid is None:
        raise NotFoundError("this account has no app token")
    return uid


async def limits_of(db: AsyncSession, session: ChargingSession) -> list[LimitChange]:
    """The limits of a session's connector while it lasted, in order."""
    rows = await db.scalars(
        select(LimitChange)
        .where(LimitChange.site_id == session.site_id)
        .where(LimitChange.session_id == session.id)
        .order_by(LimitChange.time_ms, LimitChange.id)
    )
    return list(rows)


async def samples_of(db: AsyncSession, session_id: str) -> list[MeterSample]:
    """All readings of a session, in order."""
    rows = await db.scalars(
        select(MeterSample)
        .where(MeterSample.session_id == session_id)
        .order_by(MeterSample.time_ms, MeterSample.id)
    )
    return list(rows)


async def parked_reason(db: AsyncSession, session: ChargingSession) -> str | None:
    """Why a session is parked, None when it is not."""
    row = await db.get(ParkedSession, (session.id, session.site_id))
    return row.reason if row else None


async def events_after(
    db: AsyncSession, session: ChargingSession, epoch: str, seq: int
) -> list[InboxEvent]:
    """Stored events of a session after a place in its stream, in order."""
    rows = await db.scalars(
        select(InboxEvent)
        .where(InboxEvent.session_id == session.id, InboxEvent.site_id == session.site_id)
        .where(InboxEvent.stream == "events")
        .where((InboxEvent.epoch != epoch) | (InboxEvent.seq > seq))
        .order_by(InboxEvent.received_ms, InboxEvent.seq)
        .limit(1000)
    )
    return list(rows)
