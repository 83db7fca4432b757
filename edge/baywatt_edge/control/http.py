"""HTTP/1.1 on one accepted connection: h11 parses, every size and every wait is bounded."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

import h11

_LOG = logging.getLogger(__name__)

MAX_HEAD_BYTES = 8 * 1024
MAX_BODY_BYTES = 16 * 1024
MAX_QUERY_FIELDS = 16
_READ_BYTES = 4 * 1024

JSON = "application/json"
JSON_LINES = "application/x-ndjson"
PLAIN = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a client may take."""

    request_s: float = 10.0  # from the first wait to the last byte of the body
    answer_s: float = 60.0  # for a route to decide
    drain_s: float = 10.0  # for the client to take what was written


@dataclass(frozen=True, slots=True)
class Request:
    """A parsed request; `query` holds the last value of each name."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: a whole body, or chunks as they come."""

    status: int
    body: bytes | AsyncGenerator[bytes, None] = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = field(default=())


class HttpError(Exception):
    """A request that is answered with an error; the text is one line for the person who asked."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


Route = Callable[[Request], Awaitable[Response]]


def json_response(value: object, status: int = 200) -> Response:
    """A JSON answer, ended by a line feed for people with curl."""
    return Response(status, json.dumps(value, ensure_ascii=False).encode() + b"\n")


def error_response(status: int, message: str) -> Response:
    """`{"error": …}` with one clear line."""
    return json_response({"error": message}, status)


class HttpConnection:
    """Serves the requests of one client, one after the other."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        route: Route,
        limits: Limits,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._route = route
        self._limits = limits
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)

    async def serve(self) -> None:
        """Until the client goes, breaks the protocol or is too slow; then the connection closes."""
        try:
            while await self._exchange():
                self._h11.start_next_cycle()
        except (ConnectionError, TimeoutError, h11.LocalProtocolError) as error:
            _LOG.debug("control client dropped: %r", error)
        except Exception:  # noqa: BLE001 - the top of one client's task, past the answer's head
            _LOG.exception("control client dropped")
        finally:
            # Unread input would make close() lose the answer; the transport flushes by itself.
            self._writer.close()

    async def _exchange(self) -> bool:
        """One request and its answer; whether another may follow."""
        try:
            async with asyncio.timeout(self._limits.request_s):
                request = await self._receive()
        except h11.RemoteProtocolError as error:
            await self._send(error_response(error.error_status_hint, f"bad request: {error}"))
            return False
        except HttpError as error:
            await self._send(error_response(error.status, str(error)))
            return False
        if request is None:
            return False
        await self._send(await self._answer(request))
        return self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE

    async def _receive(self) -> Request | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA:
                self._h11.receive_data(await self._reader.read(_READ_BYTES))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > MAX_BODY_BYTES:
                    raise HttpError(413, f"body is longer than {MAX_BODY_BYTES} bytes")
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return _parsed(head, bytes(body))
            else:  # the client closed, or wants another protocol
                return None

    async def _answer(self, request: Request) -> Response:
        try:
            async with asyncio.timeout(self._limits.answer_s):
                return await self._route(request)
        except HttpError as error:
            return error_response(error.status, str(error))
        except TimeoutError:
            return error_response(504, f"no answer within {self._limits.answer_s:g} s")
        except Exception:  # noqa: BLE001 - the top of one client's task: its bug is answered and logged
            _LOG.exception("%s %s failed", request.method, request.path)
            return error_response(500, "internal error, see the daemon's log")

    async def _send(self, response: Response) -> None:
        if self._h11.our_state not in (h11.SEND_RESPONSE, h11.IDLE):
            return
        whole = response.body if isinstance(response.body, bytes) else None
        length = [("Content-Length", str(len(whole)))] if whole is not None else []
        headers = [("Content-Type", response.content_type), *length, *response.headers]
        await self._write(h11.Response(status_code=response.status, headers=headers))
        if isinstance(response.body, bytes):
            await self._write(h11.Data(data=response.body))
        else:
            async with aclosing(response.body) as chunks:
                async for chunk in chunks:
                    await self._write(h11.Data(data=chunk))
        await self._write(h11.EndOfMessage())

    async def _write(self, event: h11.Response | h11.Data | h11.EndOfMessage) -> None:
        data = self._h11.send(event)
        if data:
            self._writer.write(data)
            async with asyncio.timeout(self._limits.drain_s):
                await self._writer.drain()


def _parsed(head: h11.Request, body: bytes) -> Request:
    try:
        url = urlsplit(head.target.decode("ascii"))
        query = dict(parse_qsl(url.query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS))
    except ValueError as error:
        raise HttpError(400, f"bad request target: {error}") from error
    return Request(head.method.decode("ascii"), url.path, query, body)
