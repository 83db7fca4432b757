"""The pages themselves."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import HTMLResponse

from baywatt_cloud.billing import service as billing
from baywatt_cloud.charging import repository
from baywatt_cloud.charging.bookings import find_place
from baywatt_cloud.kit.problems import ForbiddenError, NotFoundError
from baywatt_cloud.kit.services import NowMs, ReadDb, Use
from baywatt_cloud.pages import board, mine
from baywatt_cloud.pages.access import PageRoute, Visitor, to_login
from baywatt_cloud.pages.templating import render
from baywatt_cloud.search.geo import Point

router = APIRouter(include_in_schema=False, route_class=PageRoute)

Id = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f]+$")]
EvseId = Annotated[str, Path(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f]+$")]
Words = Annotated[str, Query(max_length=100, pattern=r"^[^\x00-\x1f]*$")]
Degrees = Annotated[float | None, Query(ge=-180, le=180, allow_inf_nan=False)]

_STATIC = {"baywatt.css": "text/css", "baywatt.js": "text/javascript", "icon.svg": "image/svg+xml"}


@router.get("/static/{name}")
async def static(name: str) -> Response:
    """Our style, script and icon."""
    if name not in _STATIC:
        raise NotFoundError(f"no file {name[:40]}")
    body = files("baywatt_cloud.pages").joinpath("static", name).read_bytes()
    headers = {"Cache-Control": "public, max-age=300", "X-Content-Type-Options": "nosniff"}
    return Response(body, media_type=_STATIC[name], headers=headers)


@router.get("/")
async def home(
    request: Request, visitor: Visitor, db: ReadDb, now_ms: NowMs, *,
    q: Words = "", lat: Degrees = None, lon: Degrees = None,
) -> HTMLResponse:  # fmt: skip
    """Find a station; below it what is mine."""
    here = None if lat is None or lon is None or abs(lat) > 90 else Point(lat, lon)
    stations = await mine.stations(db, here, q, now_ms)
    own = await mine.of_person(db, visitor) if visitor else None
    values = {"stations": stations, "q": q, "here": here, "own": own}
    return render(request, "home.html", visitor, values)


@router.get("/mine")
async def my_things(request: Request, visitor: Visitor, db: ReadDb) -> Response:
    """The fragment of the home page that is kept fresh."""
    if visitor is None:
        return Response(status_code=204)
    own = await mine.of_person(db, visitor)
    return render(request, "_mine.html", visitor, {"own": own})


@router.get("/book/{evse_id}")
async def book(
    request: Request, evse_id: EvseId, visitor: Visitor, db: ReadDb, now_ms: NowMs
) -> Response:
    """Choose a window, see the price, book or start."""
    if visitor is None:
        return to_login(request)
    place = await find_place(db, evse_id, None)
    words = await mine.price_of(db, place.site.id, now_ms)
    return render(request, "book.html", visitor, {"place": place, "price": words})


@router.get("/sessions/{session_id}")
async def session(request: Request, session_id: Id, visitor: Visitor, db: ReadDb) -> Response:
    """A session of mine, live."""
    if visitor is None:
        return to_login(request)
    row = await repository.session_for(db, session_id, visitor)
    shown = await mine.session_page(db, row)
    found = await billing.list_for(db, visitor, session_id=session_id, limit=1, offset=0)
    invoice = billing.summary(*found[0]) if found else None
    return render(request, "session.html", visitor, {"invoice": invoice, **shown})


@router.get("/receipts/{invoice_id}")
async def receipt(request: Request, invoice_id: Id, visitor: Visitor, db: ReadDb) -> Response:
    """A receipt that explains each line."""
    if visitor is None:
        return to_login(request)
    row, payment = await billing.one_for(db, visitor, invoice_id)
    view = await billing.view(db, row, payment)
    return render(request, "receipt.html", visitor, {"invoice": view})


@router.get("/operator")
async def operator(
    request: Request, visitor: Visitor, db: ReadDb, use: Use, now_ms: NowMs
) -> Response:
    """All sites live, and what happened last."""
    if visitor is None:
        return to_login(request)
    return await _operator(request, "operator.html", visitor, db, use, now_ms)


@router.get("/operator/board")
async def operator_board(
    request: Request, visitor: Visitor, db: ReadDb, use: Use, now_ms: NowMs
) -> Response:
    """The fragment of the operator's page that is kept fresh."""
    if visitor is None:
        return Response(status_code=204)
    return await _operator(request, "_board.html", visitor, db, use, now_ms)


async def _operator(
    request: Request, template: str, visitor: Visitor, db: ReadDb, use: Use, now_ms: int
) -> HTMLResponse:
    if visitor is None or not visitor.is_operator:
        raise ForbiddenError("this page is for operators")
    boards = await board.sites(db, use.hub, now_ms)
    values = {"boards": boards, **await board.latest(db, visitor)}
    return render(request, template, visitor, values)
