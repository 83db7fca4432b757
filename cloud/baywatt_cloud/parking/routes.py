"""/parking: availability of bays and reserving one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from baywatt_cloud.charging import bookings
from baywatt_cloud.charging.errors import NotBookableError, WindowError
from baywatt_cloud.charging.schemas import BookingRequest, BookingView
from baywatt_cloud.kit.identity import CurrentUser
from baywatt_cloud.kit.paging import BadCursorError, Cursor, next_cursor
from baywatt_cloud.kit.problems import NotFoundError, TakenError, UnauthorisedError, responses
from baywatt_cloud.kit.services import NowMs, ReadDb, Use
from baywatt_cloud.kit.transactional import TransactionalRoute, WriteDb
from baywatt_cloud.parking import service
from baywatt_cloud.parking.schemas import BayPage, ReserveRequest
from baywatt_cloud.search.location import BadLocationError, Near
from baywatt_cloud.search.routes import Radius
from baywatt_cloud.search.window import BadWindowError, Window

router = APIRouter(prefix="/parking", tags=["parking"], route_class=TransactionalRoute)


@router.get("/availability", responses=responses(BadLocationError, BadWindowError, BadCursorError))
async def availability(
    *,
    near: Near,
    window: Window,
    db: ReadDb,
    now_ms: NowMs,
    cursor: Cursor,
    radius_m: Radius = 25_000,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> BayPage:
    """Bays near a place; `free` in the window, or now when none is named."""
    found = await service.availability(db, near, radius_m, window, now_ms)
    page = found[cursor : cursor + limit + 1]
    return BayPage(items=page[:limit], next=next_cursor(cursor, limit, len(page)))


@router.post(
    "/reserve",
    status_code=201,
    responses=responses(
        UnauthorisedError, NotFoundError, TakenError, NotBookableError, WindowError
    ),
)
async def reserve(
    body: ReserveRequest, person: CurrentUser, db: WriteDb, use: Use, now_ms: NowMs
) -> BookingView:
    """Book a bay without its connector; it is seen, extended and cancelled like any booking."""
    window = {"from": body.from_, "to": body.to}
    request = BookingRequest.model_validate({"bay_id": body.bay_id, **window})
    booking = await bookings.book(db, use.payments, person, request, now_ms)
    return await bookings.view(db, booking)
