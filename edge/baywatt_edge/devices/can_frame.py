"""One CAN frame, whatever carries it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CanFrame:
    """A classic CAN data frame with a 29-bit (or 11-bit) identifier."""

    can_id: int
    data: bytes
    extended: bool = True
