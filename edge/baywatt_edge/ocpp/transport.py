"""The websocket to the CSMS: dialling, refusals in words, and proof that the line still lives."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidStatus,
    InvalidURI,
    NegotiationError,
    WebSocketException,
)
from websockets.typing import Subprotocol

from baywatt_edge.ocpp.errors import ConnectionLostError, ConnectRefusedError

_OPEN_TIMEOUT_S = 20.0
_CLOSE_TIMEOUT_S = 2.0
_MAX_MESSAGE_BYTES = 4 * 1024 * 1024  # above it the connection ends; far above the RPC's own cap
_MAX_WAITING = 1000


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a station dials, and as whom."""

    station: str
    base_url: str
    subprotocols: tuple[str, ...]
    password: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """The connection URL: base, one slash, the identity percent-encoded (1.6J, 3.1.1)."""
        return f"{self.base_url.rstrip('/')}/{quote(self.station, safe='')}"

    def headers(self) -> dict[str, str]:
        """HTTP basic authentication, where there is a password (security profiles 1 and 2)."""
        if self.password is None:
            return {}
        token = base64.b64encode(f"{self.station}:{self.password}".encode()).decode()
        return {"Authorization": f"Basic {token}"}


async def dial(endpoint: Endpoint) -> Line:
    """An open connection that speaks one of our subprotocols.

    Raises ConnectRefusedError whose text names the station, the URL and the fix.
    """
    try:
        connection = await connect(
            endpoint.url,
            subprotocols=[Subprotocol(name) for name in endpoint.subprotocols],
            additional_headers=endpoint.headers(),
            compression=None,
            ping_interval=None,
            open_timeout=_OPEN_TIMEOUT_S,
            close_timeout=_CLOSE_TIMEOUT_S,
            max_size=_MAX_MESSAGE_BYTES,
            proxy=None,
        )
    except (OSError, TimeoutError, WebSocketException) as error:
        raise ConnectRefusedError(_why(endpoint, error)) from error
    if connection.subprotocol not in endpoint.subprotocols:
        await connection.close(1002, "no common subprotocol")
        raise ConnectRefusedError(_wrong_subprotocol(endpoint, str(connection.subprotocol)))
    return Line(connection)


def _why(endpoint: Endpoint, error: Exception) -> str:
    where = f"station {endpoint.station} at {endpoint.url}"
    match error:
        case InvalidStatus():
            return f"{where}: {_status(error.response.status_code, endpoint)}"
        case NegotiationError():
            return _wrong_subprotocol(endpoint, "another one")
        case InvalidURI():
            return f"{where}: no usable URL: correct `csms` of the station in the site file"
        case TimeoutError():
            return f"{where}: no answer in {_OPEN_TIMEOUT_S:.0f} s: check address and firewall"
        case _:
            return f"{where}: not reachable ({error}): check address, network and certificate"


def _status(status: int, endpoint: Endpoint) -> str:
    if status in {401, 403}:
        given = "wrong" if endpoint.password is not None else "missing"
        return (
            f"the CSMS refuses the password (HTTP {status}): `csms_password` is {given}, "
            "set the one that the CSMS has for this station"
        )
    if status == 404:
        return "the CSMS does not know this station (HTTP 404): add it there, or correct the id"
    return f"the CSMS answers HTTP {status} instead of opening a websocket: check the URL's path"


def _wrong_subprotocol(endpoint: Endpoint, chosen: str) -> str:
    offered = ", ".join(endpoint.subprotocols)
    return (
        f"station {endpoint.station} at {endpoint.url}: the CSMS picked {chosen} of the "
        f"subprotocols {offered}: enable {offered} for this station in the CSMS"
    )


class Line:
    """One open connection. `send` never blocks; `receive` never waits for a send."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue()
        self._ping_now = asyncio.Event()

    @property
    def subprotocol(self) -> str:
        """What was agreed."""
        return str(self._connection.subprotocol)

    def send(self, data: bytes) -> None:
        """Queue a message; a peer that reads nothing for too long loses the connection."""
        if self._waiting.qsize() >= _MAX_WAITING:
            self.abort()
            return
        self._waiting.put_nowait(data)

    async def receive(self) -> bytes:
        """The next message as it came. Raises ConnectionLostError."""
        try:
            return await self._connection.recv(decode=False)
        except ConnectionClosed as error:
            raise ConnectionLostError(str(error)) from error

    async def flushed(self) -> None:
        """Return when everything that was sent so far has left the program."""
        await self._waiting.join()

    def ping_now(self) -> None:
        """Do not wait for the interval: find out whether the line lives, or take a new interval."""
        self._ping_now.set()

    def abort(self) -> None:
        """Drop the connection at once; `receive` raises."""
        self._connection.transport.abort()

    async def close(self) -> None:
        """Say goodbye, for a moment at most."""
        await self._connection.close()

    async def write(self) -> None:
        """Task: carry the queue out, in order."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                data = await self._waiting.get()
                await self._connection.send(data, text=True)
                self._waiting.task_done()

    async def keep_alive(
        self, interval_s: Callable[[], float], pong_s: float, alive: Callable[[], None]
    ) -> None:
        """Task: ping every `interval_s()` (0 = only when asked); no pong ends the connection."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                asked = await self._wait_for_turn(interval_s())
                if not asked and interval_s() == 0:
                    continue
                if not await self._answered_ping(pong_s):
                    self.abort()
                    return
                alive()

    async def _wait_for_turn(self, interval_s: float) -> bool:
        """True when a ping was asked for, False when the interval is over."""
        try:
            async with asyncio.timeout(interval_s or None):
                await self._ping_now.wait()
        except TimeoutError:
            return False
        self._ping_now.clear()
        return True

    async def _answered_ping(self, pong_s: float) -> bool:
        try:
            async with asyncio.timeout(pong_s):
                await (await self._connection.ping())
        except TimeoutError:
            return False
        return True
