"""What can go wrong between one device and its bus, and what a device says on a wire."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Reply:
    """Bytes that a station puts on the wire `delay_s` after what it heard (or after its timer)."""

    data: bytes
    delay_s: float = 0.0


class Station(Protocol):
    """A sans-I/O participant of a line; `now` is in monotonic seconds."""

    def receive(self, data: bytes, now: float) -> Sequence[Reply]:
        """What the station answers to bytes it heard."""

    def next_deadline(self) -> float | None:
        """When `handle_timer` wants to be called, None for never."""

    def handle_timer(self, now: float) -> Sequence[Reply]:
        """What the station says of its own accord."""


@dataclass(slots=True)
class Link:
    """The connection of one device. All faults are off by default and may be changed at any time.

    `garble` and `drop` are probabilities (per byte, and per answer); `baudrate` is the device's own
    setting, None for a device that does not care; `power` is the device's supply.
    """

    up: bool = True
    power: bool = True
    garble: float = 0.0
    drop: float = 0.0
    latency_ms: float = 0.0
    duplicate_id: bool = False
    swap_ab: bool = False
    baudrate: int | None = None
    rng: random.Random = field(default_factory=lambda: random.Random(0x5EED))

    @property
    def connected(self) -> bool:
        """Whether anything passes at all."""
        return self.up and self.power and not self.swap_ab

    def hears(self, host_baudrate: int | None) -> bool:
        """Whether the device understands a host that talks at this speed (None: not known)."""
        if not self.connected:
            return False
        return None in (self.baudrate, host_baudrate) or self.baudrate == host_baudrate

    def spoil(self, data: bytes) -> bytes:
        """The bytes as they arrive at the other end."""
        if self.garble <= 0:
            return data
        rng, rate = self.rng, self.garble
        return bytes(b ^ rng.randrange(1, 256) if rng.random() < rate else b for b in data)

    def loses(self) -> bool:
        """Whether this answer is lost."""
        return self.drop > 0 and self.rng.random() < self.drop

    @property
    def latency_s(self) -> float:
        """The extra delay of an answer in seconds."""
        return self.latency_ms / 1000
