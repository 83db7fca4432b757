"""Remote start and stop: stored here, carried by the downlink, decided by the site."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.charging import repository
from baywatt_cloud.charging.errors import NotBookableError, WrongStateError
from baywatt_cloud.kit.identity import Person
from baywatt_cloud.kit.ids import new_id
from baywatt_cloud.kit.problems import NotFoundError
from baywatt_cloud.models import BookingStatus, Command, Connector
from baywatt_contract.messages import CommandKind

NOT_AFTER_MS = 60_000
_EARLY_MS = 15 * 60_000  # how long before its window a booking may be started


async def start_booking(db: AsyncSession, person: Person, booking_id: str, now_ms: int) -> Command:
    """Ask the site to authorise the booking's driver at the booked connector."""
    booking = await repository.booking_for(db, booking_id, person)
    if booking.status not in {BookingStatus.RESERVED, BookingStatus.ACTIVE}:
        raise WrongStateError(f"the booking is {booking.status}")
    if booking.evse_id is None:
        raise NotBookableError("this booking is for a bay without a connector")
    if not booking.from_ms - _EARLY_MS <= now_ms < booking.to_ms:
        raise WrongStateError("the booking's window is not now")
    connector = await db.get_one(Connector, booking.evse_id)
    token = await repository.app_token(db, booking.user_id)
    data = {"token": token, "driver_id": booking.user_id, "booking_id": booking.id}
    return _start(db, person, connector, data, now_ms)


async def start_here(db: AsyncSession, person: Person, evse_id: str, now_ms: int) -> Command:
    """Ask the site to authorise the person at a connector; it refuses what is not free."""
    connector = await db.get(Connector, evse_id)
    if connector is None or not connector.active:
        raise NotFoundError(f"no connector {evse_id}")
    data = {"token": await repository.app_token(db, person.id), "driver_id": person.id}
    return _start(db, person, connector, data, now_ms)


def _start(
    db: AsyncSession, person: Person, connector: Connector, data: dict[str, Any], now_ms: int
) -> Command:
    site_id, number = connector.site_id, connector.number
    kind = CommandKind.START
    return send(db, site_id, kind, now_ms, user_id=person.id, connector=number, data=data)


async def stop(db: AsyncSession, person: Person, session_id: str, now_ms: int) -> Command:
    """Ask the site to end a session."""
    session = await repository.session_for(db, session_id, person)
    if session.status not in {"authorised", "charging"}:
        raise WrongStateError(f"the session is {session.status}")
    data = {"session": session.id}
    at = session.connector
    return send(
        db, session.site_id, CommandKind.STOP, now_ms, user_id=person.id, connector=at, data=data
    )


def send(
    db: AsyncSession,
    site_id: str,
    kind: CommandKind,
    now_ms: int,
    *,
    user_id: str | None,
    connector: int | None,
    data: dict[str, Any],
) -> Command:
    """Store a command; the downlink publishes it until it is answered or too late."""
    command = Command(
        id=new_id("cm", now_ms),
        site_id=site_id,
        user_id=user_id,
        kind=kind,
        connector=connector,
        data=data,
        sent_ms=now_ms,
        not_after_ms=now_ms + NOT_AFTER_MS,
    )
    db.add(command)
    return command
