"""The control server: accepts clients, routes requests, and keeps one client's trouble its own."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from baywatt_contract.house import Beat, House, Task
from baywatt_edge.control import metrics, socket_file, views
from baywatt_edge.control.events import event_lines, parse_query
from baywatt_edge.control.http import (
    JSON_LINES,
    PLAIN,
    HttpConnection,
    HttpError,
    Limits,
    Request,
    Response,
    error_response,
    json_response,
)
from baywatt_edge.control.reader import JournalReader
from baywatt_edge.control.socket_file import ControlSocketError
from baywatt_edge.control.wishes import outcome_document, parse_wish
from baywatt_edge.journal import Stream

_LOG = logging.getLogger(__name__)

_MAX_CLIENTS = 32
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_BEAT_S = 1.0
_CLOSE_GRACE_S = 1.0
_BIND_AGAIN_S = 2.0
_WHY = re.compile(r"^/why/(\d{1,5})$")
_GET_PATHS = frozenset({"/status", "/events", "/health", "/metrics"})


class ControlServer:
    """Serves the house on a Unix socket.

    `status` returns what the house itself does not know: csms, cloud, buses, children (the
    supervisor's status) and anything else that `baywatt status --json` shall show.
    """

    def __init__(
        self,
        socket_path: Path,
        house: House,
        journal: JournalReader,
        status: Callable[[], dict[str, Any]],
        limits: Limits = Limits(),  # noqa: B008 - immutable
    ) -> None:
        self._path = socket_path
        self._house = house
        self._journal = journal
        self._status = status
        self._limits = limits
        self._clients: set[asyncio.Task[None]] = set()

    def tasks(self) -> dict[str, Task]:
        """For the supervisor: the one task, named `control`."""
        return {"control": self.run}

    async def run(self, beat: Beat) -> None:
        """Serve until cancelled; a path that cannot be used is told once and tried again."""
        sock = await self._bind(beat)
        inode = self._path.stat().st_ino
        server = await asyncio.start_unix_server(self._accept, sock=sock)
        try:
            while True:
                beat()
                await asyncio.sleep(_BEAT_S)
        finally:
            server.close()
            self._unlink(inode)
            await self._dismiss()

    async def _bind(self, beat: Beat) -> socket.socket:
        level = logging.WARNING
        while True:
            try:
                return await asyncio.to_thread(socket_file.bind, self._path)
            except ControlSocketError as error:
                _LOG.log(level, "%s (trying on)", error)
                level = logging.DEBUG
            beat()
            await asyncio.sleep(_BIND_AGAIN_S)

    async def _dismiss(self) -> None:
        for client in self._clients:
            client.cancel()
        if self._clients:
            await asyncio.wait(set(self._clients), timeout=_CLOSE_GRACE_S)

    def _unlink(self, inode: int) -> None:
        """Remove our own file, not the one of a daemon that has taken the path since."""
        try:
            if self._path.stat().st_ino == inode:
                self._path.unlink()
        except FileNotFoundError:
            pass

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._clients) >= _MAX_CLIENTS:
            _LOG.debug("control socket: more than %d clients, one turned away", _MAX_CLIENTS)
            writer.write(_BUSY)
            writer.close()
            return
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)
        await HttpConnection(reader, writer, self._route, self._limits).serve()

    async def _route(self, request: Request) -> Response:
        if request.path.startswith("/wish/"):
            return await self._wish(request)
        why = _WHY.match(request.path)
        if why is None and request.path not in _GET_PATHS:
            raise HttpError(404, f"no such path: {request.path}")
        if request.method != "GET":
            raise HttpError(405, f"{request.path} takes GET only")
        return self._why(int(why[1])) if why else self._get(request)

    def _get(self, request: Request) -> Response:
        if request.path == "/status":
            return json_response(views.status_document(self._house.view(), self._status()))
        if request.path == "/events":
            lines = event_lines(self._journal, parse_query(request.query))
            return Response(200, lines, JSON_LINES)
        if request.path == "/health":
            return self._health()
        last = self._journal.last(Stream.EVENTS)
        text = metrics.exposition(self._house.view(), self._status(), last)
        return Response(200, text, PLAIN)

    def _health(self) -> Response:
        ill = views.unhealthy(self._status())
        return json_response({"ok": not ill, "unhealthy": ill}, 503 if ill else 200)

    def _why(self, connector_id: int) -> Response:
        try:
            steps = self._house.why(connector_id)
        except KeyError:
            return error_response(404, self._unknown(connector_id))
        return json_response(views.why_document(connector_id, self._house.view(), steps))

    async def _wish(self, request: Request) -> Response:
        if request.method != "POST":
            raise HttpError(405, f"{request.path} takes POST only")
        wish = parse_wish(request.path, request.body)
        outcome = await self._house.wish(wish)
        return json_response(outcome_document(outcome), 200 if outcome.accepted else 409)

    def _unknown(self, connector_id: int) -> str:
        known = ", ".join(str(each) for each in sorted(self._house.view().connectors)) or "none"
        return f"no connector has the id {connector_id}, one of: {known}"
