"""A driver with a phone: everything through the cloud's public REST API."""

from __future__ import annotations

import asyncio
import json
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from websockets.asyncio.client import connect

Json = dict[str, Any]


class ApiError(Exception):
    """The API refused; the text is its problem detail."""


@dataclass(slots=True)
class LiveWatch:
    """What the live WebSocket of a session has told so far."""

    messages: list[Json]

    @property
    def last(self) -> Json:
        """The newest message, {} before the first."""
        return self.messages[-1] if self.messages else {}


class Driver:
    """One person; register first."""

    def __init__(self, url: str, email: str) -> None:
        self.email = email
        self._url = url
        self._http = httpx.AsyncClient(base_url=url, timeout=15)
        self._watching: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Put the phone away."""
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        await self._http.aclose()

    async def register(self) -> None:
        """An account, and a token for every request after it."""
        password = secrets.token_urlsafe(12)
        await self.post("/auth/register", {"email": self.email, "password": password})
        form = {"username": self.email, "password": password}
        answer = await self._http.post("/auth/token", data=form)
        token = _checked(answer)["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    async def add_card(self, uid: str) -> None:
        """An RFID card of mine."""
        await self.post("/auth/tokens", {"uid": uid})

    async def quote(self, evse: Json, hours: float, energy_wh: int) -> Json:
        """What it would cost."""
        begin = datetime.now(UTC)
        return await self.post(
            "/charging/quote",
            {
                "evse_id": evse["evse_id"],
                "bay_id": evse["bay_id"],
                "from": _stamp(begin),
                "to": _stamp(begin + timedelta(hours=hours)),
                "energy_wh": energy_wh,
            },
        )

    async def book(self, quote_id: str) -> Json:
        """Connector and bay in one booking."""
        return await self.post("/charging/booking", {"quote_id": quote_id})

    async def start(self, **where: str) -> str:
        """Start by booking_id or evse_id; returns the session's id once the site has answered."""
        return await self._command("/charging/start", where)

    async def stop(self, session_id: str) -> None:
        """Stop a session of mine."""
        await self._command("/charging/stop", {"session_id": session_id})

    async def session(self, session_id: str) -> Json:
        """A session as it stands."""
        return await self.get(f"/charging/sessions/{session_id}")

    async def sessions(self) -> list[Json]:
        """My sessions, newest first."""
        items: list[Json] = (await self.get("/charging/sessions"))["items"]
        return items

    async def invoice_of(self, session_id: str) -> Json | None:
        """The session's invoice, None before it is issued."""
        found = await self.get("/billing/invoices", session_id=session_id)
        items: list[Json] = found["items"]
        return await self.get(f"/billing/invoices/{items[0]['invoice_id']}") if items else None

    async def invoice_pdf(self, invoice_id: str) -> bytes:
        """The invoice as people file it."""
        answer = await self._http.get(f"/billing/invoices/{invoice_id}.pdf")
        if answer.status_code != 200:
            raise ApiError(answer.text)
        return answer.content

    def watch(self, session_id: str) -> LiveWatch:
        """Follow a session's live power over the WebSocket, reconnecting when it breaks."""
        watch = LiveWatch([])
        task = asyncio.create_task(self._watch(session_id, watch))
        self._watching.add(task)
        return watch

    async def _watch(self, session_id: str, watch: LiveWatch) -> None:
        url = self._url.replace("http", "ws", 1) + f"/charging/sessions/{session_id}/live"
        headers = {"Authorization": self._http.headers["Authorization"]}
        async for socket in connect(url, additional_headers=headers):
            async for message in socket:
                watch.messages.append(json.loads(message))
            return

    async def _command(self, path: str, body: Json) -> str:
        command = await self.post(path, body)
        answer = await until(
            lambda: self.get(f"/charging/commands/{command['command_id']}"),
            lambda seen: seen["status"] in {"DONE", "REFUSED", "EXPIRED"},
            what=f"the site's answer to {path}",
        )
        if answer["status"] != "DONE":
            raise ApiError(f"the site refused: {answer['reason']}")
        return str(answer["session_id"])

    async def get(self, path: str, **query: str) -> Json:
        """GET a JSON document."""
        return _checked(await self._http.get(path, params=query))

    async def post(self, path: str, body: Json) -> Json:
        """POST with an idempotency key, so that a repeated request has one effect."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        return _checked(await self._http.post(path, json=body, headers=headers))


async def until(
    ask: Callable[[], Any],
    holds: Callable[[Any], bool],
    *,
    what: str,
    timeout_s: float = 60.0,
    every_s: float = 0.2,
) -> Any:  # noqa: ANN401 - whatever `ask` returns
    """Wait until what `ask` returns fulfils `holds`; TimeoutError names `what` and the last one."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not holds(seen := await ask()):
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(
                f"{what} did not come within {timeout_s:g} s; last: {str(seen)[:300]}"
            )
        await asyncio.sleep(every_s)
    return seen


def _checked(answer: httpx.Response) -> Json:
    if answer.status_code >= 400:
        raise ApiError(f"{answer.request.method} {answer.request.url.path}: {answer.text}")
    document: Json = answer.json()
    return document


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
