"""InfyPower DC module, CAN protocol V1.13: 29-bit ids, 8 bytes, big endian, 125 kbit/s.

Source: EVerest `modules/HardwareDrivers/PowerSupplies/InfyPower` (README, CanPackets.cpp).
The id holds error (28-26), device (25-22: 0x0A one module, 0x0B a group), command (21-16),
destination (15-8) and source (7-0). Without a controller for 10 s the module switches off.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from baywatt_sim.devices.base import Touch
from baywatt_sim.wire.link import Link
from baywatt_sim.wire.socketcand import CanFrame
from baywatt_sim.world import DcSource

CONTROLLER = 0xF0
BROADCAST = 0x3F
ONE, GROUP = 0x0A, 0x0B
WATCHDOG_S = 10.0
MIN_V = 150
_INVALID_COMMAND, _INVALID_DATA = 2, 3


class Command(IntEnum):
    """What can be asked of a module."""

    COUNT = 0x02
    READ_VI = 0x03
    STATUS = 0x04
    CAPABILITIES = 0x0A
    BARCODE = 0x0B
    EXTERNAL = 0x0C
    ON_OFF = 0x1A
    SET_VI = 0x1C


# (byte of the status answer, bit) of each alarm.
ALARMS = {
    "output-short": (7, 0),
    "sleeping": (7, 4),
    "discharge-abnormal": (7, 5),
    "dc-off": (6, 0),
    "fault": (6, 1),
    "protection": (6, 2),
    "fan": (6, 3),
    "over-temperature": (6, 4),
    "over-voltage": (6, 5),
    "walk-in": (6, 6),
    "communication-interrupt": (6, 7),
    "power-limit": (5, 0),
    "id-repeat": (5, 1),
    "load-share": (5, 2),
    "phase-lost": (5, 3),
    "unbalanced": (5, 4),
    "input-low": (5, 5),
    "input-high": (5, 6),
    "pfc-off": (5, 7),
}
_BLOCKING = frozenset({"output-short", "fault", "protection", "over-temperature", "over-voltage"})


@dataclass(frozen=True, slots=True)
class InfyId:
    """The parts of an id."""

    device: int
    command: int
    destination: int
    source: int
    error: int = 0

    @classmethod
    def parse(cls, can_id: int) -> InfyId:
        """Take a 29-bit id apart."""
        return cls(
            error=can_id >> 26 & 7,
            device=can_id >> 22 & 0xF,
            command=can_id >> 16 & 0x3F,
            destination=can_id >> 8 & 0xFF,
            source=can_id & 0xFF,
        )

    def pack(self) -> int:
        """The 29-bit id."""
        high = self.error << 26 | self.device << 22 | self.command << 16
        return high | self.destination << 8 | self.source


class InfyModule:
    """One module as a `CanNode`; its output is a `DcSource` of the world.

    `alarms` may be changed at any time to inject trouble; names are the keys of `ALARMS`.
    """

    def __init__(
        self,
        address: int,
        source: DcSource,
        *,
        touch: Touch,
        link: Link,
        bitrate: int | None = None,
    ) -> None:
        self.address = address
        self.alarms: set[str] = set()
        self.requests = 0
        self._source, self._touch, self._link = source, touch, link
        self._bitrate = bitrate
        self._heard: float | None = None
        self._interrupted = False

    def power_off(self) -> None:
        """No AC supply."""
        self._source.on = False

    def power_on(self, now: float) -> None:
        """Begin anew, switched off."""
        self._source.on, self._source.set_v, self._source.set_a = False, 0.0, 0.0
        self._heard, self._interrupted = now, False

    def tick(self, now: float) -> None:
        """Switch off when the controller is silent or an alarm forbids output."""
        if self._heard is not None and now - self._heard > WATCHDOG_S and not self._interrupted:
            self._interrupted = True
            self._source.on = False
        if self.alarms & _BLOCKING:
            self._source.on = False

    def on_frame(self, frame: CanFrame, now: float) -> Sequence[CanFrame]:
        """Answer a controller; a spoilt frame fails its checksum and is lost."""
        identity = InfyId.parse(frame.can_id)
        mine = identity.destination in (self.address, BROADCAST)
        if not (frame.extended and mine and identity.source == CONTROLLER):
            return ()
        link = self._link
        if not link.hears(self._bitrate) or link.loses() or link.spoil(frame.data) != frame.data:
            return ()
        if identity.device not in (ONE, GROUP) or len(frame.data) != 8:
            return ()
        self._touch()
        self._heard, self._interrupted = now, False
        self.requests += 1
        return [self._answer(identity, frame.data)]

    def _answer(self, asked: InfyId, data: bytes) -> CanFrame:
        error, reply = self._carry_out(asked.command, data)
        identity = InfyId(ONE, asked.command, CONTROLLER, self.address, error)
        return CanFrame(identity.pack(), reply)

    def _carry_out(self, command: int, data: bytes) -> tuple[int, bytes]:
        if command == Command.ON_OFF:
            return self._turn(data)
        if command == Command.SET_VI:
            return self._set(data)
        reader = self._readers().get(command)
        return (_INVALID_COMMAND, data) if reader is None else (0, reader())

    def _turn(self, data: bytes) -> tuple[int, bytes]:
        if data[0] > 1:
            return _INVALID_DATA, data
        self._source.on = data[0] == 0 and not self.alarms & _BLOCKING
        return 0, data

    def _set(self, data: bytes) -> tuple[int, bytes]:
        millivolts, milliamps = struct.unpack(">II", data)
        if millivolts > self._source.max_v * 1000 or milliamps > self._source.max_a * 1000:
            return _INVALID_DATA, data
        self._source.set_v, self._source.set_a = millivolts / 1000, milliamps / 1000
        return 0, data

    def _readers(self) -> dict[int, Callable[[], bytes]]:
        source = self._source
        return {
            Command.COUNT: lambda: bytes([0, 0, 1, 0, 0, 0, 0, 0]),
            Command.READ_VI: lambda: struct.pack(">ff", source.volts, source.amps),
            Command.STATUS: self._status,
            Command.CAPABILITIES: self._capabilities,
            Command.BARCODE: lambda: b"B" + f"{self.address:07d}".encode("ascii"),
            Command.EXTERNAL: self._external,
        }

    def _capabilities(self) -> bytes:
        source = self._source
        values = (source.max_v, MIN_V, source.max_a * 10, source.max_w / 10)
        return struct.pack(">4H", *(round(each) for each in values))

    def _external(self) -> bytes:
        volts = round(self._source.volts * 10)
        available = min(self._source.max_a, self._source.max_w / max(self._source.set_v, 1.0))
        return struct.pack(">HHI", volts, round(available * 10), 0)

    def _status(self) -> bytes:
        out = bytearray([0, 0, 0, 0, 27, 0, 0, 0])  # byte 4: 27 °C
        for name in self.alarms | self._natural_alarms():
            at, bit = ALARMS[name]
            out[at] |= 1 << bit
        return bytes(out)

    def _natural_alarms(self) -> set[str]:
        source = self._source
        limited = source.on and source.volts * source.amps >= source.max_w * 0.999
        seen = {
            "dc-off": not source.on,
            "communication-interrupt": self._interrupted,
            "power-limit": limited,
            "id-repeat": self._link.duplicate_id,
        }
        return {name for name, active in seen.items() if active}
