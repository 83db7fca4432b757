"""InfyPower's CAN protocol V1.13: identifiers and payloads, pure (29-bit ids, big-endian)."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from enum import IntEnum

from baywatt_edge.devices.can_frame import CanFrame

_SINGLE = 0x0A


class Command(IntEnum):
    """Bits 21..16 of the identifier."""

    READ_OUTPUT = 0x03
    READ_STATUS = 0x04
    READ_CAPABILITIES = 0x0A
    SET_ON_OFF = 0x1A


_ALARMS: dict[tuple[int, int], str] = {
    (7, 0): "output-short",
    (7, 5): "discharge-abnormal",
    (6, 1): "fault",
    (6, 2): "protection",
    (6, 3): "fan",
    (6, 4): "over-temperature",
    (6, 5): "output-over-voltage",
    (6, 7): "communication-interrupted",
    (5, 1): "id-repeated",
    (5, 2): "load-sharing",
    (5, 3): "phase-lost",
    (5, 4): "input-unbalanced",
    (5, 5): "input-low",
    (5, 6): "input-high",
    (5, 7): "pfc-off",
}


@dataclass(frozen=True, slots=True)
class Output:
    """Answer to READ_OUTPUT."""

    voltage_mv: int
    current_ma: int


@dataclass(frozen=True, slots=True)
class Status:
    """Answer to READ_STATUS; `power_limited` and sleeping are states, not alarms."""

    on: bool
    power_limited: bool
    alarms: frozenset[str]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Answer to READ_CAPABILITIES."""

    voltage_max_mv: int
    voltage_min_mv: int
    current_max_ma: int
    power_w: int


def identifier(command: Command, destination: int, source: int) -> int:
    """The identifier of a frame to a single module."""
    return _SINGLE << 22 | command << 16 | destination << 8 | source


def read(command: Command, module: int, controller: int) -> CanFrame:
    """A question to a module."""
    return CanFrame(identifier(command, module, controller), bytes(8))


def switch_off(module: int, controller: int) -> CanFrame:
    """Output off: byte 0 is 1."""
    return CanFrame(identifier(Command.SET_ON_OFF, module, controller), b"\x01" + bytes(7))


def answer_from(frame: CanFrame, module: int, controller: int) -> int | None:
    """The command that a frame of `module` to us answers; None for anything else."""
    if not frame.extended or len(frame.data) != 8:
        return None
    foreign = identifier(Command.READ_OUTPUT, controller, module) ^ frame.can_id
    # Everything but the command must match: source, destination, device, and no error code.
    if foreign & ~(0x3F << 16):
        return None
    return frame.can_id >> 16 & 0x3F


def output(data: bytes) -> Output | None:
    """Two floats; None when they are no numbers."""
    volts, amperes = struct.unpack(">ff", data)
    if not (math.isfinite(volts) and math.isfinite(amperes)):
        return None
    if not (-100 <= volts <= 2000 and -1000 <= amperes <= 1000):
        return None
    return Output(round(volts * 1000), round(amperes * 1000))


def status(data: bytes) -> Status:
    """Bits of bytes 5 to 7."""
    alarms = frozenset(name for (byte, bit), name in _ALARMS.items() if data[byte] >> bit & 1)
    return Status(on=not data[6] & 1, power_limited=bool(data[5] & 1), alarms=alarms)


def capabilities(data: bytes) -> Capabilities:
    """Units of 1 V, 1 V, 0.1 A and 10 W."""
    volts_max, volts_min, deciamperes, decawatts = struct.unpack(">4H", data)
    return Capabilities(volts_max * 1000, volts_min * 1000, deciamperes * 100, decawatts * 10)
