"""/charging: bookings, commands, sessions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from baywatt_cloud.charging import bookings, commands, errors, repository, views
from baywatt_cloud.charging.schemas import (
    BookingPage,
    BookingRequest,
    BookingView,
    CommandAccepted,
    CommandView,
    Explanation,
    ExtendRequest,
    SessionPage,
    SessionView,
    StartRequest,
    StopRequest,
)
from baywatt_cloud.kit.clock import to_ms
from baywatt_cloud.kit.identity import CurrentUser
from baywatt_cloud.kit.paging import Cursor, next_cursor
from baywatt_cloud.kit.problems import (
    NotFoundError,
    PaymentDeclinedError,
    TakenError,
    UnauthorisedError,
    responses,
)
from baywatt_cloud.kit.services import NowMs, ReadDb, Use
from baywatt_cloud.kit.transactional import TransactionalRoute, WriteDb
from baywatt_cloud.models import Command

router = APIRouter(prefix="/charging", tags=["charging"], route_class=TransactionalRoute)

Id = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f]+$")]
Limit = Annotated[int, Query(ge=1, le=100)]
_SEE = responses(UnauthorisedError, NotFoundError)
_CHANGE = responses(UnauthorisedError, NotFoundError, errors.WrongStateError, errors.WindowError)


@router.post(
    "/booking",
    status_code=201,
    responses=responses(
        UnauthorisedError,
        NotFoundError,
        TakenError,
        errors.NotBookableError,
        errors.QuoteExpiredError,
        errors.WindowError,
        PaymentDeclinedError,
    ),
)
async def book(
    body: BookingRequest, person: CurrentUser, db: WriteDb, use: Use, now_ms: NowMs
) -> BookingView:
    """Book a connector (with its bay) or a bay for a window. 409 `taken`: somebody was faster."""
    booking = await bookings.book(db, use.payments, person, body, now_ms)
    return await bookings.view(db, booking)


@router.get("/bookings", responses=responses(UnauthorisedError))
async def my_bookings(
    person: CurrentUser, db: ReadDb, cursor: Cursor, limit: Limit = 20
) -> BookingPage:
    """My bookings, newest window first."""
    rows = await repository.bookings_of(db, person.id, limit + 1, cursor)
    items = [await bookings.view(db, row) for row in rows[:limit]]
    return BookingPage(items=items, next=next_cursor(cursor, limit, len(rows)))


@router.get("/booking/{booking_id}", responses=_SEE)
async def see_booking(booking_id: Id, person: CurrentUser, db: ReadDb) -> BookingView:
    """A booking of mine."""
    return await bookings.view(db, await repository.booking_for(db, booking_id, person))


@router.delete("/booking/{booking_id}", responses=_CHANGE)
async def cancel(
    booking_id: Id, person: CurrentUser, db: WriteDb, use: Use, now_ms: NowMs
) -> BookingView:
    """Give the window back and the held money with it."""
    booking = await repository.booking_for(db, booking_id, person, lock=True)
    by = "the driver" if booking.user_id == person.id else "the operator"
    await bookings.cancel(db, use.payments, booking, now_ms, f"cancelled by {by}")
    return await bookings.view(db, booking)


@router.post("/booking/{booking_id}/extend", responses={**_CHANGE, **responses(TakenError)})
async def extend(
    booking_id: Id, body: ExtendRequest, person: CurrentUser, db: WriteDb, now_ms: NowMs
) -> BookingView:
    """Stay longer. 409 `taken` tells in `until` when the next booking begins."""
    booking = await repository.booking_for(db, booking_id, person, lock=True)
    await bookings.extend(db, booking, to_ms(body.to), now_ms)
    await db.refresh(booking)
    return await bookings.view(db, booking)


@router.post("/start", status_code=202, responses=_CHANGE)
async def start(
    body: StartRequest, person: CurrentUser, db: WriteDb, response: Response, now_ms: NowMs
) -> CommandAccepted:
    """Ask the site to start. The site decides; the command's answer says what it did."""
    if body.booking_id is not None:
        command = await commands.start_booking(db, person, body.booking_id, now_ms)
    else:
        command = await commands.start_here(db, person, body.evse_id or "", now_ms)
    return _accepted(command, response)


@router.post("/stop", status_code=202, responses=_CHANGE)
async def stop(
    body: StopRequest, person: CurrentUser, db: WriteDb, response: Response, now_ms: NowMs
) -> CommandAccepted:
    """Ask the site to end a session of mine."""
    command = await commands.stop(db, person, body.session_id, now_ms)
    return _accepted(command, response)


def _accepted(command: Command, response: Response) -> CommandAccepted:
    response.headers["Location"] = f"/charging/commands/{command.id}"
    return CommandAccepted(command_id=command.id)


@router.get("/commands/{command_id}", responses=_SEE)
async def see_command(command_id: Id, person: CurrentUser, db: ReadDb) -> CommandView:
    """What became of a command of mine."""
    row = await repository.command_for(db, command_id, person)
    return CommandView(
        command_id=row.id,
        kind=row.kind,
        status=row.status,
        reason=row.reason,
        session_id=row.session_id,
    )


@router.get("/sessions", responses=responses(UnauthorisedError))
async def my_sessions(
    person: CurrentUser, db: ReadDb, cursor: Cursor, limit: Limit = 20
) -> SessionPage:
    """My sessions, newest first."""
    rows = await repository.sessions_of(db, person.id, limit + 1, cursor)
    items = [views.session_view(row) for row in rows[:limit]]
    return SessionPage(items=items, next=next_cursor(cursor, limit, len(rows)))


@router.get("/sessions/{session_id}", responses=_SEE)
async def see_session(session_id: Id, person: CurrentUser, db: ReadDb) -> SessionView:
    """A session of mine as it stands."""
    return views.session_view(await repository.session_for(db, session_id, person))


@router.get("/sessions/{session_id}/explain", responses=_SEE)
async def explain(session_id: Id, person: CurrentUser, db: ReadDb, use: Use) -> Explanation:
    """Why the session went as it went: limits with their rules, readings, price lines."""
    row = await repository.session_for(db, session_id, person)
    return await views.explain(db, row, await use.price_lines(db, row.id))
