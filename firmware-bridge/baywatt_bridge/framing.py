"""Frames on the line: 0x00 | COBS(payload | CRC-32) | 0x00.

COBS as in Cheshire and Baker, "Consistent Overhead Byte Stuffing" (1999): no zero byte stands
inside a frame, so a zero always separates frames and a receiver is in step again after the next
one, whatever it missed. The CRC is CRC-32/ISO-HDLC (the one of Ethernet and zlib), little-endian.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from baywatt_bridge.errors import BadFrameError

MAX_PAYLOAD_BYTES = 508
_CRC = struct.Struct("<I")
_BLOCK = 254
# One code byte for every 254 bytes begun.
MAX_STUFFED_BYTES = MAX_PAYLOAD_BYTES + _CRC.size + (MAX_PAYLOAD_BYTES + _CRC.size) // _BLOCK + 1


def cobs_encode(data: bytes) -> bytes:
    """`data` without zero bytes, at most one byte in 254 (and one more) longer."""
    out = bytearray()
    for group in _groups(data):
        out.append(len(group) + 1)
        out += group
    return bytes(out)


def _groups(data: bytes) -> Iterator[bytes]:
    """The runs between zeros, cut at 254 bytes; a cut run is not followed by a zero."""
    parts = data.split(b"\x00")
    for position, part in enumerate(parts):
        start = 0
        while len(part) - start >= _BLOCK:
            yield part[start : start + _BLOCK]
            start += _BLOCK
        # A run that ends exactly at a cut needs an empty group only to carry the zero after it.
        if start == 0 or start < len(part) or position < len(parts) - 1:
            yield part[start:]


def cobs_decode(stuffed: bytes) -> bytes:
    """The bytes that `cobs_encode` was given; raises BadFrameError."""
    out = bytearray()
    at = 0
    while at < len(stuffed):
        code = stuffed[at]
        end = at + code
        if code == 0 or end > len(stuffed):
            raise BadFrameError(f"COBS code {code} at byte {at} points outside the frame")
        out += stuffed[at + 1 : end]
        at = end
        if code <= _BLOCK and at < len(stuffed):
            out.append(0)
    return bytes(out)


def encode_frame(payload: bytes) -> bytes:
    """The frame to send, with a zero on both sides; raises ValueError above the size cap."""
    if not 0 < len(payload) <= MAX_PAYLOAD_BYTES:
        raise ValueError(f"{len(payload)} bytes of payload, 1 to {MAX_PAYLOAD_BYTES} fit")
    return b"\x00" + cobs_encode(payload + _CRC.pack(zlib.crc32(payload))) + b"\x00"


def decode_frame(stuffed: bytes) -> bytes:
    """The payload of what stood between two zeros; raises BadFrameError."""
    if len(stuffed) > MAX_STUFFED_BYTES:
        raise BadFrameError(f"{len(stuffed)} bytes, at most {MAX_STUFFED_BYTES}")
    data = cobs_decode(stuffed)
    if len(data) <= _CRC.size:
        raise BadFrameError(f"{len(data)} bytes are too short for a frame")
    payload, check = data[: -_CRC.size], data[-_CRC.size :]
    if _CRC.pack(zlib.crc32(payload)) != check:
        raise BadFrameError("the CRC does not fit")
    return payload


class FrameDecoder:
    """Finds frames in a stream cut anywhere; never holds more than one frame of garbage."""

    def __init__(self) -> None:
        """Begin before the first byte."""
        self.bad_frames = 0
        self._partial = bytearray()
        self._overlong = False

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads of all sound frames that `data` completes; bad ones are counted."""
        *ended, rest = data.split(b"\x00")
        payloads = []
        for piece in ended:
            self._add(piece)
            payloads += self._finish()
        self._add(rest)
        return payloads

    def _add(self, piece: bytes) -> None:
        if self._overlong or len(self._partial) + len(piece) > MAX_STUFFED_BYTES:
            self._overlong = True
            self._partial.clear()
        else:
            self._partial += piece

    def _finish(self) -> list[bytes]:
        """The payload of the piece that a zero just ended, none if empty or bad."""
        stuffed, overlong = bytes(self._partial), self._overlong
        self._partial.clear()
        self._overlong = False
        if not stuffed and not overlong:
            return []
        try:
            if not overlong:
                return [decode_frame(stuffed)]
        except BadFrameError:
            pass  # counted below like an overlong one
        self.bad_frames += 1
        return []
