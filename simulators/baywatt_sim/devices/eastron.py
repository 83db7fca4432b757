"""Eastron SDM630 and SDM72D-M v2: input registers are float32, high word first.

Register addresses: mbmd `meters/rs485/sdm.go`, `sdm72v2.go`; configuration: SPC "SDM72D-M Modbus
protocol" v1.1. Energy counts up from a start value in whole watt-hours: below 8,000 kWh a float
still tells two neighbouring watt-hours apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from baywatt_sim.devices.base import Touch, float_words, serial_of, words_float
from baywatt_sim.wire.link import Link
from baywatt_sim.wire.pdu import ILLEGAL_ADDRESS, ILLEGAL_VALUE, ModbusFault, Space
from baywatt_sim.wire.rtu_slave import RtuSlave
from baywatt_sim.world import FREQUENCY_HZ

METER_CODE = {"eastron-sdm630": 0x0070, "eastron-sdm72d-v2": 0x0089}
# Data sheet: at most 40 parameters (80 registers) per request.
MAX_REGISTERS = 80
_INPUT_END = 0x0180
_BAUD_CODES = {0: 2400, 1: 4800, 2: 9600, 3: 19_200, 4: 38_400, 5: 1200}
_PARITY, _ADDRESS, _PASSWORD, _BAUD = 0x12, 0x14, 0x18, 0x1C
_SERIAL, _CODE = 0xFC00, 0xFC02
_FACTORY_PASSWORD = 1000.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What flows past a meter: volts, amps and watt-hours since start of L1, L2, L3."""

    volts: Sequence[float]
    amps: Sequence[float]
    phase_wh: Sequence[float]


class EastronMeter:
    """One meter as a `RegisterModel`.

    `swap_words` and `reverse_ct` are the installer's
    mistakes: words in the other order, current transformers (1 to 3) the wrong way round.
    """

    def __init__(
        self,
        device_id: str,
        profile: str,
        *,
        measure: Callable[[], Measured],
        touch: Touch,
    ) -> None:
        self.swap_words = False
        self.start_wh = serial_of(device_id) % 6_000_000 + 500_000
        self._measure, self._touch = measure, touch
        self._link = Link()
        self._slave: RtuSlave | None = None
        self._code = METER_CODE[profile]
        self._serial = serial_of(device_id)
        self._unlocked = False
        self._parity = 0.0
        self._reversed: frozenset[int] = frozenset()
        self._counted = [0.0, 0.0]  # import and export until the transformers were last turned
        self._since = [0.0, 0.0, 0.0]

    def connect(self, link: Link, slave: RtuSlave | None) -> None:
        """Tell the meter its own interface, so that it can change speed and address."""
        self._link, self._slave = link, slave

    @property
    def reverse_ct(self) -> frozenset[int]:
        """The phases whose current transformer is the wrong way round."""
        return self._reversed

    @reverse_ct.setter
    def reverse_ct(self, phases: frozenset[int]) -> None:
        self._touch()
        self._counted = list(self._energies_wh())
        self._since = list(self._measure().phase_wh)
        self._reversed = phases

    def read(self, space: Space, address: int, count: int) -> Sequence[int]:
        """Input registers from `address`, in whole parameters; holding registers likewise."""
        if count > MAX_REGISTERS:
            raise ModbusFault(ILLEGAL_VALUE)
        self._touch()
        if space is Space.INPUT:
            return self._cut(self._inputs(), address, count, _INPUT_END)
        if space is Space.HOLDING:
            if address >= _SERIAL:
                return self._identity(address, count)
            return self._cut(self._settings(), address, count, _BAUD + 2)
        raise ModbusFault(ILLEGAL_ADDRESS)

    def write(self, space: Space, address: int, values: Sequence[int]) -> None:
        """One setting; the password (1000) must have been written before."""
        if space is not Space.HOLDING or len(values) != 2:
            raise ModbusFault(ILLEGAL_ADDRESS)
        value = words_float(list(values))
        if address == _PASSWORD:
            self._unlocked = value == _FACTORY_PASSWORD
            return
        if not self._unlocked:
            raise ModbusFault(ILLEGAL_VALUE)
        self._configure(address, value)

    def _configure(self, address: int, value: float) -> None:
        if address == _PARITY and value in (0, 1, 2, 3):
            self._parity = value
        elif address == _ADDRESS and 1 <= value <= 247 and value == int(value):
            if self._slave is not None:
                self._slave.unit = int(value)
        elif address == _BAUD and value in _BAUD_CODES:
            self._link.baudrate = _BAUD_CODES[int(value)]
        else:
            raise ModbusFault(ILLEGAL_VALUE if address in self._settings() else ILLEGAL_ADDRESS)

    def _settings(self) -> dict[int, float]:
        codes = {speed: code for code, speed in _BAUD_CODES.items()}
        baud = float(codes.get(self._link.baudrate or 9600, 2))
        unit = float(self._slave.unit) if self._slave else 1.0
        return {_PARITY: self._parity, _ADDRESS: unit, _PASSWORD: 0.0, _BAUD: baud}

    def _identity(self, address: int, count: int) -> list[int]:
        words = [self._serial >> 16, self._serial & 0xFFFF, self._code, 0]
        start = address - _SERIAL
        if start + count > len(words):
            raise ModbusFault(ILLEGAL_ADDRESS)
        return words[start : start + count]

    def _cut(self, values: dict[int, float], address: int, count: int, end: int) -> list[int]:
        """Whole parameters only, as the meter demands; those without a meaning are 0."""
        if address % 2 or count % 2 or address + count > end:
            raise ModbusFault(ILLEGAL_ADDRESS)
        words: list[int] = []
        for at in range(address, address + count, 2):
            words += float_words(values.get(at, 0.0), swapped=self.swap_words)
        return words

    def _energies_wh(self) -> tuple[float, float]:
        """(import, export) since start as this meter's transformers see it."""
        net = sum(
            sign * (now - then)
            for sign, now, then in zip(
                self._signs(), self._measure().phase_wh, self._since, strict=True
            )
        )
        return self._counted[0] + max(0.0, net), self._counted[1] + max(0.0, -net)

    def _signs(self) -> list[int]:
        return [-1 if phase in self._reversed else 1 for phase in (1, 2, 3)]

    def _inputs(self) -> dict[int, float]:
        seen = self._measure()
        watts = [
            sign * v * a for sign, v, a in zip(self._signs(), seen.volts, seen.amps, strict=True)
        ]
        taken_wh, given_wh = (math.floor(each) for each in self._energies_wh())
        taken, given = (self.start_wh + taken_wh) / 1000, given_wh / 1000
        values = {0x34: sum(watts), 0x38: sum(map(abs, watts)), 0x3E: 1.0, 0x46: FREQUENCY_HZ}
        values |= {0x48: taken, 0x4A: given, 0x156: taken + given}
        for i in range(3):
            values[0x00 + 2 * i] = seen.volts[i]
            values[0x06 + 2 * i] = seen.amps[i]  # line current is unsigned
            values[0x0C + 2 * i] = watts[i]
            values[0x12 + 2 * i] = abs(watts[i])
            values[0x1E + 2 * i] = math.copysign(1.0, watts[i])
        return values
