"""A central system for OCPP 1.6J on raw websockets and JSON, for tests and the demo.

It shares no code with the charge point that it is there to doubt.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http
import json
import ssl
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self
from urllib.parse import unquote

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from baywatt_sim import csms_checks
from baywatt_sim.csms_script import (
    ANSWER_FAULTS,
    UPGRADE_FAULTS,
    BadRequestError,
    Fault,
    Json,
    Script,
    utc_now,
)

SUBPROTOCOL = "ocpp1.6"
_LOG_ENTRIES = 100_000
_SEND_TIMEOUT_S = 30.0


class NotConnectedError(Exception):
    """No such station is connected."""


@dataclass(frozen=True, slots=True)
class Received:
    """One CALL of a charge point, and what was wrong with it."""

    time: str
    station: str
    action: str
    payload: Any
    message_id: str
    problems: tuple[str, ...] = ()

    def to_json(self) -> Json:
        """For GET /received."""
        return asdict(self)


@dataclass(slots=True, eq=False)
class _Peer:
    station: str
    connection: ServerConnection
    open_calls: dict[str, asyncio.Future[Json]] = field(default_factory=dict)
    answering: int = 0


class CsmsSimulator:
    """Start it with `async with`; `url` is what a site file names."""

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        passwords: Mapping[str, str] | None = None,
        stations: frozenset[str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.script = Script()
        self.received: deque[Received] = deque(maxlen=_LOG_ENTRIES)
        self.connections = 0  # successful upgrades since the start
        self._host, self._port = host, port
        self._passwords = passwords or {}
        self._stations = stations
        self._tls = tls
        self._peers: dict[str, _Peer] = {}
        self._seen_ids: dict[str, set[str]] = {}
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: Server | None = None
        self._holes: set[ServerConnection] = set()

    @property
    def url(self) -> str:
        """The endpoint without the identity."""
        scheme = "ws" if self._tls is None else "wss"
        return f"{scheme}://{self._host}:{self._port}/ocpp"

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve,
            self._host,
            self._port,
            process_request=self._admit,
            select_subprotocol=self._select,
            ping_interval=None,
            compression=None,
            close_timeout=0.5,
            ssl=self._tls,
        )
        self._port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in list(self._holes):
            connection.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    # What a test or the control API asks.

    def connected(self, station: str) -> bool:
        """Whether the station has an open connection."""
        return station in self._peers

    def calls(self, action: str, station: str | None = None) -> list[Received]:
        """The received CALLs of one action, oldest first."""
        return [
            each
            for each in self.received
            if each.action == action and station in {None, each.station}
        ]

    async def wait_for(self, action: str, count: int = 1, timeout_s: float = 10.0) -> Received:
        """The `count`-th CALL of this action; raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while len(self.calls(action)) < count:
                await self.news()
        return self.calls(action)[count - 1]

    async def news(self) -> None:
        """Wait for the next CALL, connection or disconnection."""
        self._news.clear()
        await self._news.wait()

    async def send(
        self, station: str, action: str, payload: Json, timeout_s: float = _SEND_TIMEOUT_S
    ) -> Json:
        """Send a CALL; the answer's payload, or {"error", "description"} of a CALLERROR.

        Raises NotConnectedError, TimeoutError.
        """
        message_id = str(uuid.uuid4())
        return await self.send_raw(
            station, json.dumps([2, message_id, action, payload]), message_id, timeout_s
        )

    async def send_raw(
        self, station: str, text: str, message_id: str, timeout_s: float = _SEND_TIMEOUT_S
    ) -> Json:
        """Send any text, and wait for an answer to `message_id`."""
        peer = self._peers.get(station)
        if peer is None:
            raise NotConnectedError(f"station {station!r} is not connected")
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        peer.open_calls[message_id] = answer
        try:
            await peer.connection.send(text)
            async with asyncio.timeout(timeout_s):
                return await answer
        except ConnectionClosed as error:
            raise NotConnectedError(f"station {station!r} has gone") from error
        finally:
            peer.open_calls.pop(message_id, None)

    async def fault(self, request: Mapping[str, Any]) -> None:
        """Put a fault in force (see POST /fault); raises BadRequestError."""
        fault = Fault.of(request)
        if fault.kind == "close":
            for peer in self._matching(fault.station):
                await peer.connection.close(1012, "restart")
        elif fault.kind == "black_hole":
            for peer in self._matching(fault.station):
                self._holes.add(peer.connection)
                peer.connection.transport.pause_reading()
        else:
            self.script.add_fault(fault)

    def _matching(self, station: str | None) -> list[_Peer]:
        return [each for each in self._peers.values() if station in {None, each.station}]

    # The upgrade.

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        station = _station_of(request)
        if fault := self.script.take_fault(frozenset({"refuse_upgrade"}), station, None):
            return connection.respond(http.HTTPStatus(fault.status), "refused on request\n")
        if self._stations is not None and station not in self._stations:
            return connection.respond(http.HTTPStatus.NOT_FOUND, "no such station\n")
        wanted = self._passwords.get(station)
        if wanted is not None and request.headers.get("Authorization") != _basic(station, wanted):
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "wrong password\n")
        return None

    def _select(
        self,
        connection: ServerConnection,
        offered: Any,  # noqa: ANN401 - a sequence of names
    ) -> Subprotocol | None:
        request = connection.request
        station = _station_of(request) if request is not None else ""
        if self.script.take_fault(UPGRADE_FAULTS, station, None):
            return None
        return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None

    # One connection.

    async def _serve(self, connection: ServerConnection) -> None:
        request = connection.request
        if request is None or connection.subprotocol != SUBPROTOCOL:
            await connection.close(1002, "no common subprotocol")
            return
        peer = _Peer(_station_of(request), connection)
        self._peers[peer.station] = peer
        self.connections += 1
        self._news.set()
        try:
            async for message in connection:
                self._take(peer, message)
        except ConnectionClosed:
            pass
        finally:
            self._holes.discard(connection)
            if self._peers.get(peer.station) is peer:
                del self._peers[peer.station]
            self._news.set()

    def _take(self, peer: _Peer, message: str | bytes) -> None:
        try:
            frame = json.loads(message)
            kind, message_id = frame[0], str(frame[1])
        except (ValueError, LookupError, TypeError):
            self._note(peer, "?", message, "", ["the frame is no OCPP-J"])
            return
        if kind == 2 and len(frame) == 4:
            self._asked(peer, message_id, str(frame[2]), frame[3])
        elif kind == 3 and len(frame) == 3:
            self._settle(peer, message_id, frame[2])
        elif kind == 4 and len(frame) == 5:
            self._settle(peer, message_id, {"error": frame[2], "description": frame[3]})
        else:
            self._note(peer, "?", frame, message_id, ["the frame has no known shape"])

    def _settle(self, peer: _Peer, message_id: str, answer: Json) -> None:
        waiting = peer.open_calls.get(message_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def _asked(self, peer: _Peer, message_id: str, action: str, payload: Any) -> None:  # noqa: ANN401
        found = csms_checks.problems(action, payload)
        seen = self._seen_ids.setdefault(peer.station, set())
        if message_id in seen:
            found.append("this message id was used before")
        seen.add(message_id)
        if peer.answering:
            found.append("a CALL was sent before the last one was answered")
        self._note(peer, action, payload, message_id, found)
        task = asyncio.create_task(self._answer(peer, message_id, action, payload))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _note(
        self, peer: _Peer, action: str, payload: object, message_id: str, found: list[str]
    ) -> None:
        self.received.append(
            Received(utc_now(), peer.station, action, payload, message_id, tuple(found))
        )
        self._news.set()

    async def _answer(self, peer: _Peer, message_id: str, action: str, payload: Any) -> None:  # noqa: ANN401
        peer.answering += 1
        try:
            answer = self.script.answer(peer.station, action, payload or {})
            fault = self.script.take_fault(ANSWER_FAULTS, peer.station, action)
            texts = await self._texts(message_id, answer, fault)
        finally:
            peer.answering -= 1
        with contextlib.suppress(ConnectionClosed):
            for text in texts:
                await peer.connection.send(text)

    async def _texts(self, message_id: str, answer: Any, fault: Fault | None) -> list[str]:  # noqa: ANN401
        if isinstance(answer, dict) and set(answer) <= {"delay_s", "payload"} and answer:
            await asyncio.sleep(float(answer.get("delay_s", 0)))
            answer = answer.get("payload", {})
        if isinstance(answer, dict) and answer.get("drop"):
            return []
        if isinstance(answer, dict) and "error" in answer:
            text = json.dumps([4, message_id, answer["error"], answer.get("description", ""), {}])
        else:
            text = json.dumps([3, message_id, answer])
        if fault is None:
            return [text]
        if fault.kind == "late":
            await asyncio.sleep(fault.delay_s)
            return [text]
        return {"duplicate": [text, text], "malformed": [text[:-2]]}.get(fault.kind, [])


def _station_of(request: Request) -> str:
    return unquote(request.path.split("?")[0].rpartition("/")[2])


def _basic(station: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{station}:{password}".encode()).decode()


__all__ = ["BadRequestError", "CsmsSimulator", "NotConnectedError", "Received"]
