"""/search: stations near a place."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from baywatt_cloud.kit.paging import BadCursorError, Cursor, next_cursor
from baywatt_cloud.kit.problems import responses
from baywatt_cloud.kit.services import NowMs, ReadDb
from baywatt_cloud.search import service
from baywatt_cloud.search.location import BadLocationError, Near
from baywatt_cloud.search.schemas import StationPage
from baywatt_cloud.search.window import BadWindowError, Window

router = APIRouter(prefix="/search", tags=["search"])
Words = Annotated[str | None, Query(max_length=100, pattern=r"^[^\x00-\x1f]*$")]
Radius = Annotated[int, Query(ge=1, le=20_100_000)]


@router.get("/stations", responses=responses(BadLocationError, BadWindowError, BadCursorError))
async def stations(
    *,
    near: Near,
    window: Window,
    db: ReadDb,
    now_ms: NowMs,
    cursor: Cursor,
    q: Words = None,
    radius_m: Radius = 25_000,
    plug: Words = None,
    min_power_w: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    bay: bool = False,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> StationPage:
    """Nearest first. With `from` and `to` only connectors whose window is free are listed."""
    wanted = service.Wanted(near, radius_m, q, plug, min_power_w, window, bay)
    found = await service.find(db, wanted, now_ms)
    page = found[cursor : cursor + limit + 1]
    return StationPage(items=page[:limit], next=next_cursor(cursor, limit, len(page)))
