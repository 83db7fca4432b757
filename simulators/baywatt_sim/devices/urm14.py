"""DFRobot URM14, an ultrasonic distance sensor on RS-485 above a bay.

Registers: wiki.dfrobot.com/sen0310 (holding: 0 product, 1 vendor, 2 address, 3 baud code, 4 parity
and stop, 5 distance, 6 internal temperature 0.1 °C, 7 external temperature, 8 control).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from baywatt_sim.devices.base import Touch
from baywatt_sim.wire.pdu import ILLEGAL_ADDRESS, ModbusFault, Space

# One step of register 5 is 1 cm in this model (0.1 mm in SEN0358).
FREE_CM = 245
OCCUPIED_CM = 62
_WRITABLE = frozenset({2, 3, 4, 7, 8})


class Urm14:
    """One sensor as a `RegisterModel`; `occupied` asks the world."""

    def __init__(self, occupied: Callable[[], bool], touch: Touch, unit: int) -> None:
        self._occupied, self._touch = occupied, touch
        self._registers = [0x0001, 0x0010, unit, 5, 1, 0, 215, 0, 4]
        self._breath = 0

    def read(self, space: Space, address: int, count: int) -> Sequence[int]:
        """Holding registers 0 to 8."""
        if space is not Space.HOLDING or address + count > len(self._registers):
            raise ModbusFault(ILLEGAL_ADDRESS)
        self._touch()
        # An echo never comes back twice from exactly the same spot.
        self._breath = (self._breath + 1) % 3
        self._registers[5] = (OCCUPIED_CM if self._occupied() else FREE_CM) + self._breath
        return self._registers[address : address + count]

    def write(self, space: Space, address: int, values: Sequence[int]) -> None:
        """The settings; measurements and identity are read-only."""
        wanted = set(range(address, address + len(values)))
        if space is not Space.HOLDING or not wanted <= _WRITABLE:
            raise ModbusFault(ILLEGAL_ADDRESS)
        self._registers[address : address + len(values)] = values
