"""The last frames of a bus, kept in memory so that they can be looked at afterwards."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Direction(StrEnum):
    """Seen from us."""

    OUT = "out"
    IN = "in"


@dataclass(frozen=True, slots=True)
class Captured:
    """One chunk as it passed the transport; CAN frames carry their id in the first four bytes."""

    mono_us: int
    direction: Direction
    data: bytes


class FrameRing:
    """A bounded tap: the oldest frames make room for new ones."""

    def __init__(self, bus_id: str, frames: int = 2000) -> None:
        self.bus_id = bus_id
        self._ring: deque[Captured] = deque(maxlen=frames)

    def add(self, mono_us: int, direction: Direction, data: bytes) -> None:
        """Note one chunk; at most 512 bytes of it are kept."""
        self._ring.append(Captured(mono_us, direction, data[:512]))

    def __iter__(self) -> Iterator[Captured]:
        return iter(tuple(self._ring))

    def __len__(self) -> int:
        return len(self._ring)
