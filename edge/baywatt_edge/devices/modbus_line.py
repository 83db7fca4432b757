"""One Modbus exchange at a time over bytes: RTU (serial or through TCP) and Modbus TCP.

A pump reads all the time, so nothing that arrives between exchanges goes unseen: a second answer
(duplicate id), noise, or the loss of the line.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from baywatt_edge.devices.capture import Direction, FrameRing
from baywatt_edge.devices.errors import ExchangeError, LineLostError, NoAnswerError
from baywatt_edge.devices.modbus_frames import (
    Request,
    RtuReceiver,
    TcpReceiver,
    parse_answer,
    rtu_frame,
    second_answer,
    tcp_frame,
)
from baywatt_edge.devices.serial_port import PortError

_LONGEST_CHATTER_S = 0.5


class ByteTransport(Protocol):
    """What an RTU line needs; `SerialPort` and `TcpTransport` are such."""

    def write(self, data: bytes) -> None:
        """Send without blocking; raises PortError or LineLostError."""
        ...

    async def read(self) -> bytes:
        """At least one byte; raises PortError or LineLostError."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


@dataclass(frozen=True, slots=True)
class Exchange:
    """A successful exchange. `damaged` counts bytes that belonged to no intact answer."""

    words: tuple[int, ...]
    latency_ms: float
    damaged: int = 0


class ModbusLine(Protocol):
    """An open line; one exchange at a time."""

    async def settle(self) -> bool:
        """Wait for the silence that must precede a request; whether that took time.

        Raises LineLostError.
        """
        ...

    async def exchange(self, request: Request, timeout_s: float) -> Exchange:
        """Ask; raises NoAnswerError, RefusedError or LineLostError."""
        ...

    def raise_if_lost(self) -> None:
        """Raises LineLostError when the line is known to be gone."""
        ...

    def duplicate(self) -> int | None:
        """The unit that answered twice since the last call, if one did."""
        ...

    async def close(self) -> None:
        """Let go of the line."""
        ...


class TcpTransport:
    """A byte transport over TCP."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def write(self, data: bytes) -> None:
        """Send; what the peer does not take is bounded by one exchange at a time."""
        if self._writer.is_closing():
            raise LineLostError("the connection is closed")
        self._writer.write(data)

    async def read(self) -> bytes:
        """Whatever arrived; raises LineLostError when the peer is gone."""
        try:
            data = await self._reader.read(2048)
        except OSError as error:
            raise LineLostError(f"the connection broke: {error}") from error
        if not data:
            raise LineLostError("the peer closed the connection")
        return data

    def close(self) -> None:
        """Close without waiting for the peer."""
        self._writer.close()


class _Pumped:
    """The reading side of a line: bytes into an inbox, with the time of the last one."""

    def __init__(self, port: ByteTransport, ring: FrameRing) -> None:
        self._port = port
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._inbox = bytearray()
        self._arrived = asyncio.Event()
        self._lost = ""
        self._busy_until = self._loop.time()
        self._pump = self._loop.create_task(self._run_pump())

    async def _run_pump(self) -> None:
        try:
            while True:
                data = await self._port.read()
                self._tap(Direction.IN, data)
                self._inbox = (self._inbox + data)[-4096:]
                self._busy_until = max(self._busy_until, self._loop.time())
                self._arrived.set()
        except (PortError, LineLostError) as error:
            self._lost = str(error)
            self._arrived.set()

    def _tap(self, direction: Direction, data: bytes) -> None:
        self._ring.add(int(self._loop.time() * 1e6), direction, data)

    def _write(self, frame: bytes) -> None:
        self.raise_if_lost()
        self._tap(Direction.OUT, frame)
        try:
            self._port.write(frame)
        except PortError as error:
            raise LineLostError(str(error)) from error

    def raise_if_lost(self) -> None:
        """Raises LineLostError once the pump has seen the end of the line."""
        if self._lost:
            raise LineLostError(self._lost)

    def _take(self) -> bytes:
        data = bytes(self._inbox)
        self._inbox.clear()
        self._arrived.clear()
        return data

    async def _wait_until(self, deadline: float) -> bool:
        """Whether anything arrived before the deadline; raises LineLostError."""
        if not self._arrived.is_set():
            try:
                async with asyncio.timeout_at(deadline):
                    await self._arrived.wait()
            except TimeoutError:
                return False
        self.raise_if_lost()
        return True

    async def close(self) -> None:
        """Close the transport at once, then wait for the pump: also when cancelled meanwhile."""
        self._port.close()
        self._pump.cancel()
        await asyncio.gather(self._pump, return_exceptions=True)


class RtuLine(_Pumped):
    """Modbus RTU. `char_s` is the duration of one character, 0 where the line is a tunnel."""

    def __init__(self, port: ByteTransport, ring: FrameRing, char_s: float, gap_s: float) -> None:
        super().__init__(port, ring)
        self._char_s = char_s
        self._gap_s = gap_s
        self._last: Request | None = None
        self._rest = b""

    async def settle(self) -> bool:
        """Wait until the line was silent for its gap, but not for ever on a line that chatters."""
        began = self._loop.time()
        while True:
            self.raise_if_lost()
            now = self._loop.time()
            left = self._busy_until + self._gap_s - now
            if left <= 0 or now - began >= _LONGEST_CHATTER_S:
                return now > began
            # The loop's timers round up to whole milliseconds, half a gap at 19,200 baud: sleep
            # the whole ones and yield through the rest.
            await asyncio.sleep(int(left * 1000) / 1000)

    async def exchange(self, request: Request, timeout_s: float) -> Exchange:
        """Ask one unit; the time-out counts from the moment when the last bit has left."""
        self._take()
        frame = rtu_frame(request)
        self._write(frame)
        sent = self._loop.time()
        self._busy_until = sent + len(frame) * self._char_s
        airtime = (len(frame) + request.answer_bytes + 3) * self._char_s
        receiver = RtuReceiver(request)
        self._last, self._rest = None, b""
        while await self._wait_until(sent + airtime + timeout_s):
            pdu = receiver.feed(self._take())
            if pdu is None:
                continue
            self._last, self._rest = request, receiver.rest
            words = parse_answer(request, pdu)
            return Exchange(words, (self._loop.time() - sent) * 1000, receiver.skipped)
        raise NoAnswerError("no answer", receiver.damaged)

    def duplicate(self) -> int | None:
        """A second intact answer to the last request betrays a second device with its id."""
        request, self._last = self._last, None
        if request is None:
            return None
        rest = self._rest + bytes(self._inbox)
        return request.unit if rest and second_answer(request, rest) else None


class TcpLine(_Pumped):
    """Modbus TCP: answers are matched by transaction, so late ones are simply dropped."""

    def __init__(self, port: ByteTransport, ring: FrameRing, gap_s: float) -> None:
        super().__init__(port, ring)
        self._gap_s = gap_s
        self._transaction = 0
        self._receiver = TcpReceiver()

    async def settle(self) -> bool:
        """Wait for the gap that the site file asks for, if any."""
        self.raise_if_lost()
        left = self._busy_until + self._gap_s - self._loop.time()
        if left <= 0:
            return False
        await asyncio.sleep(left)
        return True

    async def exchange(self, request: Request, timeout_s: float) -> Exchange:
        """Ask one unit behind the connection."""
        self._transaction = (self._transaction + 1) & 0xFFFF
        self._write(tcp_frame(request, self._transaction))
        sent = self._loop.time()
        while await self._wait_until(sent + timeout_s):
            for transaction, unit, pdu in self._frames():
                if transaction != self._transaction or unit != request.unit:
                    continue
                words = parse_answer(request, pdu)
                return Exchange(words, (self._loop.time() - sent) * 1000)
        raise NoAnswerError("no answer")

    def _frames(self) -> list[tuple[int, int, bytes]]:
        try:
            return self._receiver.feed(self._take())
        except ExchangeError as error:
            raise LineLostError(str(error)) from error

    def duplicate(self) -> int | None:
        """Not visible through TCP."""
        return None
