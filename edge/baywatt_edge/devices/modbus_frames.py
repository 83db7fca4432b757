"""Modbus on the wire, sans I/O: requests out, answers found among whatever arrives.

Own code instead of pymodbus, because the owner of a line needs to see every byte: a client that
hides the second of two answers cannot tell a duplicate id, one that matches RTU answers by
function alone takes a late answer for the next one, and without knowledge of the line's character
time neither gap nor time-out can be kept. Modbus application protocol 1.1b3, serial line 1.02.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from baywatt_edge.devices.errors import ExchangeError, RefusedError

READS = frozenset({1, 2, 3, 4})
_BITS = frozenset({1, 2})
_MAX_RTU = 256


@dataclass(frozen=True, slots=True)
class Request:
    """One question: a read of `count` registers or bits, or a write of `values`."""

    unit: int
    function: int
    address: int
    count: int = 1
    values: tuple[int, ...] = ()

    def pdu(self) -> bytes:
        """Function code and data."""
        head = struct.pack(">BH", self.function, self.address)
        if self.function in READS:
            return head + struct.pack(">H", self.count)
        if self.function == 5:
            return head + (b"\xff\x00" if self.values[0] else b"\0\0")
        if self.function == 6:
            return head + struct.pack(">H", self.values[0])
        data = _packed(self.function, self.values)
        return head + struct.pack(">HB", len(self.values), len(data)) + data

    @property
    def answer_bytes(self) -> int:
        """Length of the PDU of a regular answer."""
        if self.function not in READS:
            return 5
        return 2 + ((self.count + 7) // 8 if self.function in _BITS else 2 * self.count)


def _packed(function: int, values: tuple[int, ...]) -> bytes:
    if function == 15:
        number = sum(1 << place for place, value in enumerate(values) if value)
        return number.to_bytes((len(values) + 7) // 8, "little")
    return struct.pack(f">{len(values)}H", *values)


def parse_answer(request: Request, pdu: bytes) -> tuple[int, ...]:
    """The words (or bits) read, () for a write.

    Raises RefusedError for an exception answer, ExchangeError for anything that does not fit.
    """
    if len(pdu) == 2 and pdu[0] == request.function | 0x80:
        raise RefusedError(pdu[1])
    if not fits(request, pdu):
        raise ExchangeError(f"answer {pdu[:8].hex(' ')} does not fit the request")
    if request.function not in READS:
        return ()
    data = pdu[2:]
    if request.function in _BITS:
        return tuple(data[place // 8] >> (place % 8) & 1 for place in range(request.count))
    return struct.unpack(f">{request.count}H", data)


def fits(request: Request, pdu: bytes) -> bool:
    """Whether `pdu` is a regular answer to `request`, by function, length and echo of a write."""
    if len(pdu) != request.answer_bytes or pdu[0] != request.function:
        return False
    if request.function in READS:
        return pdu[1] == len(pdu) - 2
    return pdu == request.pdu()[:5]


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_CRC = _crc_table()


def crc16(data: bytes | bytearray | memoryview) -> int:
    """The CRC of Modbus RTU (polynomial 0xA001 reflected, start 0xFFFF)."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc


def with_crc(data: bytes) -> bytes:
    """`data` and its CRC, low byte first."""
    return data + crc16(data).to_bytes(2, "little")


def rtu_frame(request: Request) -> bytes:
    """The request as an RTU frame."""
    return with_crc(bytes([request.unit]) + request.pdu())


class RtuReceiver:
    """Finds the answer to one request in a byte stream; everything else is skipped and counted.

    Noise, echoes, frames of other units and damaged frames cost nothing but their bytes.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._buffer = bytearray()
        self.skipped = 0

    @property
    def damaged(self) -> int:
        """Bytes seen so far that belong to no intact answer."""
        return self.skipped + len(self._buffer)

    def feed(self, data: bytes) -> bytes | None:
        """The PDU of the answer once it is complete; bytes after it are in `rest`."""
        self._buffer += data
        start = self._buffer.find(self._request.unit)
        while start >= 0:
            pdu = self._frame_at(start)
            if pdu is not None:
                self.skipped += start
                del self._buffer[: start + len(pdu) + 3]
                return pdu
            start = self._buffer.find(self._request.unit, start + 1)
        self._forget()
        return None

    @property
    def rest(self) -> bytes:
        """What followed the answer: a second answer means a second device with the same id."""
        return bytes(self._buffer)

    def _frame_at(self, start: int) -> bytes | None:
        """The PDU of an intact answer whose unit stands at `start`."""
        if len(self._buffer) - start < 5:
            return None
        function = self._buffer[start + 1]
        if function == self._request.function | 0x80:
            length = 5
        elif function == self._request.function:
            length = self._request.answer_bytes + 3
        else:
            return None
        view = self._buffer[start : start + length]
        if len(view) < length or crc16(view[:-2]) != view[-2] | view[-1] << 8:
            return None
        pdu = bytes(view[1 : length - 2])
        return pdu if (length == 5 and pdu[0] & 0x80) or fits(self._request, pdu) else None

    def _forget(self) -> None:
        """Keep no more than one frame's length: what lies before cannot begin the answer."""
        excess = len(self._buffer) - _MAX_RTU
        if excess > 0:
            self.skipped += excess
            del self._buffer[:excess]


def second_answer(request: Request, rest: bytes) -> bool:
    """Whether bytes after an answer are another intact answer to the same request."""
    return RtuReceiver(request).feed(rest) is not None


def tcp_frame(request: Request, transaction: int) -> bytes:
    """The request with an MBAP header."""
    pdu = request.pdu()
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, request.unit) + pdu


class TcpReceiver:
    """Cuts a TCP stream into MBAP frames; the caller compares transaction and unit."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """Complete frames as (transaction, unit, pdu).

        Raises ExchangeError when the stream is not Modbus TCP: close it, it cannot resynchronise.
        """
        self._buffer += data
        frames = []
        while len(self._buffer) >= 7:
            transaction, protocol, length, unit = struct.unpack_from(">HHHB", self._buffer)
            if protocol != 0 or not 2 <= length <= 254:
                raise ExchangeError("the peer does not speak Modbus TCP (RTU over TCP?)")
            if len(self._buffer) < 6 + length:
                break
            frames.append((transaction, unit, bytes(self._buffer[7 : 6 + length])))
            del self._buffer[: 6 + length]
        return frames
