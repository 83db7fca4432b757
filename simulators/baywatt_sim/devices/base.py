"""What all simulated devices share: the truth brought up to date, and float registers."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Protocol

Touch = Callable[[], float]
"""Brings the world to the present moment and returns it (monotonic seconds)."""


class Ticking(Protocol):
    """A device with a life of its own."""

    def tick(self, now: float) -> None:
        """Let the device do what is due; called some twenty times a second and after each frame."""


def serial_of(device_id: str) -> int:
    """A serial number that stays the same over restarts, eight digits."""
    return 10_000_000 + zlib.crc32(device_id.encode()) % 89_999_999


def float_words(value: float, *, swapped: bool = False) -> list[int]:
    """IEEE 754 single precision as two registers, high word first unless swapped."""
    high, low = struct.unpack(">HH", struct.pack(">f", value))
    return [low, high] if swapped else [high, low]


def words_float(words: list[int]) -> float:
    """The value of two registers, high word first."""
    value: float = struct.unpack(">f", struct.pack(">HH", *words))[0]
    return value
