"""Live power of a session: over a WebSocket, and as server-sent events that can be resumed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Header, Query, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse

from baywatt_cloud.charging import repository, views
from baywatt_cloud.charging.routes import Id
from baywatt_cloud.kit.identity import CurrentUser, Person, person_of, token_of
from baywatt_cloud.kit.problems import NotFoundError, ProblemError, UnauthorisedError, responses
from baywatt_cloud.kit.services import Services, Use, services_of
from baywatt_cloud.kit.workers import unbroken
from baywatt_cloud.models import ChargingSession, InboxEvent
from baywatt_contract.clock import format_utc_ms

router = APIRouter(prefix="/charging", tags=["charging"])

_LOOK_AGAIN_S = 2.0  # finds what another process stored
_SEND_TIMEOUT_S = 10.0
_UNAUTHORISED, _NOT_FOUND = 4401, 4404


@router.websocket("/sessions/{session_id}/live")
async def live(
    socket: WebSocket, session_id: Id, access_token: Annotated[str | None, Query()] = None
) -> None:
    """A JSON message whenever something changes; closes when the session is over.

    Authorised like the API, or by `?access_token=` (browsers cannot set headers here). Close codes:
    4401 not logged in, 4404 no session of yours.
    """
    services = services_of(socket)
    await socket.accept()
    try:
        person = await person_of(services, access_token or _trusted_token(socket))
        async with services.database.read() as db:
            row = await repository.session_for(db, session_id, person)
    except ProblemError as error:
        code = _UNAUTHORISED if isinstance(error, UnauthorisedError) else _NOT_FOUND
        await socket.close(code, error.detail[:100])
        return
    sending = asyncio.create_task(_send_all(services, socket, row))
    listening = asyncio.create_task(_until_gone(socket))
    await asyncio.wait({sending, listening}, return_when=asyncio.FIRST_COMPLETED)
    for task in (sending, listening):
        task.cancel()
    await asyncio.gather(sending, listening, return_exceptions=True)


def _trusted_token(socket: WebSocket) -> str | None:
    """Header or cookie; a cookie counts only for pages of our own origin."""
    origin = socket.headers.get("origin")
    if origin and urlsplit(origin).netloc != socket.headers.get("host"):
        return None
    return token_of(socket)


async def _send_all(services: Services, socket: WebSocket, row: ChargingSession) -> None:
    try:
        async for message in messages(services, row):
            async with asyncio.timeout(_SEND_TIMEOUT_S):
                await socket.send_json(message)
        await socket.close(1000, "the session is over")
    except (WebSocketDisconnect, TimeoutError, RuntimeError):
        return  # the watcher is gone or too slow: it may come back


async def _until_gone(socket: WebSocket) -> None:
    try:
        while True:
            await socket.receive()
    except (WebSocketDisconnect, RuntimeError):
        return


async def messages(services: Services, row: ChargingSession) -> AsyncIterator[dict[str, Any]]:
    """The session's state now and after every change, without repeats; ends with the session."""
    news = services.hub.news(row.site_id)
    before: dict[str, Any] = {}
    while True:
        seen = news.count
        fresh = await unbroken(_load(services, row.id))
        message = views.live_view(fresh, services.hub, services.clock())
        if _content(message) != _content(before):
            yield message
            before = message
        if fresh.status in views.OVER:
            return
        await news.wait_beyond(seen, _LOOK_AGAIN_S)


async def _load(services: Services, session_id: str) -> ChargingSession:
    async with services.database.read() as db:
        return await db.get_one(ChargingSession, session_id)


def _content(message: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key != "at"}


@router.get(
    "/sessions/{session_id}/events",
    responses={
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
        **responses(UnauthorisedError, NotFoundError),
    },
    response_class=StreamingResponse,
)
async def events(
    session_id: Id,
    person: CurrentUser,
    use: Use,
    last_event_id: Annotated[str, Header(max_length=120)] = "",
) -> StreamingResponse:
    """Server-sent events: every stored event of the session, and `live` in between.

    Stored events have ids: reconnect with `Last-Event-ID` and nothing is missed.
    """
    row = await _find(use, session_id, person)
    return StreamingResponse(
        _stream(use, row, *_place(last_event_id)),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _find(services: Services, session_id: str, person: Person) -> ChargingSession:
    async with services.database.read() as db:
        return await repository.session_for(db, session_id, person)


def _place(last_event_id: str) -> tuple[str, int]:
    epoch, _, seq = last_event_id.rpartition(":")
    good = seq.isascii() and seq.isdigit() and len(seq) < 18 and "\x00" not in epoch
    return (epoch, int(seq)) if good else ("", 0)


async def _stream(
    services: Services, row: ChargingSession, epoch: str, seq: int
) -> AsyncIterator[str]:
    async for message in messages(services, row):
        for event in await unbroken(_stored(services, row, epoch, seq)):
            epoch, seq = event.epoch, event.seq
            yield _sse(event.type, _body(event), f"{epoch}:{seq}")
        yield _sse("live", message)


async def _stored(
    services: Services, row: ChargingSession, epoch: str, seq: int
) -> list[InboxEvent]:
    async with services.database.read() as db:
        return await repository.events_after(db, row, epoch, seq)


def _body(event: InboxEvent) -> dict[str, Any]:
    return {"type": event.type, "time": format_utc_ms(event.time_ms), "data": event.data}


def _sse(name: str, body: dict[str, Any], event_id: str | None = None) -> str:
    head = f"id: {event_id}\n" if event_id else ""
    return f"{head}event: {name}\ndata: {json.dumps(body)}\n\n"
