"""Heidelberg Energy Control: a complete wallbox on RS-485 that drives its own pilot and contactor.

Registers: evcc `charger/heidelberg-ec.go`, nymea `amperfied-registers.json`, Walther basicEVO PRO
manual p. 17. What those leave open is chosen here: after the watchdog the command register holds
the fail-safe value until written again, and a stop first takes the duty cycle away, then opens
the contactor when the car has let go, at the latest after 3 s (IEC 61851-1, Table A.6).
"""

from __future__ import annotations

from collections.abc import Sequence

from baywatt_contract.observations import Pilot
from baywatt_sim.devices.base import Touch
from baywatt_sim.wire.pdu import (
    ILLEGAL_ADDRESS,
    ILLEGAL_VALUE,
    ModbusFault,
    NoAnswerError,
    Space,
)
from baywatt_sim.world import Outlet, World

MIN_GAP_S = 0.1
WATCHDOG, STANDBY, LOCK, COMMAND, FAIL_SAFE = 257, 258, 259, 261, 262
STANDBY_OFF = 4
STANDBY_AFTER_S = 720.0
UNLOCK_S = 10.0
CLOSE_AFTER_S = 0.2
OPEN_AT_LATEST_S = 3.0
MAX_A, MIN_A = 16, 6
LAYOUT = 0x0108
DEFAULTS = {WATCHDOG: 15_000, STANDBY: 0, LOCK: 1, COMMAND: 0, FAIL_SAFE: 0}
_E, _F, _ERROR = 9, 10, 11
_PLAIN_STATES = {Pilot.A: 2, Pilot.B: 4, Pilot.C: 6}


class HeidelbergWallbox:
    """One wallbox as a `RegisterModel` with a life of its own (`tick`)."""

    def __init__(self, outlet: Outlet, world: World, touch: Touch) -> None:
        self._outlet, self._world, self._touch = outlet, world, touch
        self._start_vah = 250_000
        self.power_on(world.now)

    def power_on(self, now: float) -> None:
        """Begin anew with the values of the factory."""
        self._powered = True
        self._settings = dict(DEFAULTS)
        self._fed = self._last_car = now
        self._free_from = now
        self._welcome_since: float | None = None
        self._refused_since: float | None = None
        self._zero_wh = self._outlet.energy_wh

    def power_off(self) -> None:
        """No supply: no pilot, and the contactor falls open."""
        self._powered = False
        self._outlet.offered_a = 0.0
        self._switch(False)

    @property
    def limit_a(self) -> float:
        """What register 261 commands now, in ampere."""
        return self._settings[COMMAND] / 10

    def tick(self, now: float) -> None:
        """Watchdog, pilot and contactor at `now`."""
        if not self._powered:
            return
        self._watch(now)
        if self._outlet.vehicle is not None:
            self._last_car = now
        self._outlet.shown = self._overruling()
        allowed = self._allowed(now)
        self._outlet.offered_a = self.limit_a if allowed else 0.0
        self._drive_contactor(now, allowed)

    def read(self, space: Space, address: int, count: int) -> Sequence[int]:
        """Input registers 4 to 18 and 100 to 101; holding registers 257 to 259, 261, 262."""
        self._hear()
        table = self._inputs() if space is Space.INPUT else self._settings
        wanted = range(address, address + count)
        if space in (Space.COILS, Space.DISCRETE) or not all(at in table for at in wanted):
            raise ModbusFault(ILLEGAL_ADDRESS)
        return [table[at] for at in wanted]

    def write(self, space: Space, address: int, values: Sequence[int]) -> None:
        """Holding registers; a command below 6 A other than 0 or above 16 A is refused."""
        now = self._hear()
        wanted = dict(enumerate(values, start=address))
        if space is not Space.HOLDING or not wanted.keys() <= self._settings.keys():
            raise ModbusFault(ILLEGAL_ADDRESS)
        for at, value in wanted.items():
            if not _acceptable(at, value):
                raise ModbusFault(ILLEGAL_VALUE)
        if wanted.get(LOCK) == 1 and self._settings[LOCK] == 0:
            self._free_from = now + UNLOCK_S
        self._settings.update(wanted)
        self.tick(now)

    def _hear(self) -> float:
        """Any request feeds the watchdog; a sleeping box wakes from it and does not answer."""
        now = self._touch()
        self._fed = now
        asleep = self._settings[STANDBY] != STANDBY_OFF and now - self._last_car > STANDBY_AFTER_S
        if asleep:
            self._last_car = now
            raise NoAnswerError
        return now

    def _watch(self, now: float) -> None:
        timeout_ms = self._settings[WATCHDOG]
        if timeout_ms and now - self._fed > timeout_ms / 1000:
            self._settings[COMMAND] = self._settings[FAIL_SAFE]

    def _allowed(self, now: float) -> bool:
        unlocked = self._settings[LOCK] == 1 and now >= self._free_from
        return unlocked and self.limit_a >= MIN_A and not self._outlet.faults

    def _drive_contactor(self, now: float, allowed: bool) -> None:
        welcome = allowed and self._outlet.pilot is Pilot.C
        self._welcome_since = (self._welcome_since or now) if welcome else None
        self._refused_since = None if allowed else (self._refused_since or now)
        if self._welcome_since is not None and now - self._welcome_since >= CLOSE_AFTER_S:
            self._switch(True)
        let_go = self._outlet.pilot is not Pilot.C or bool(self._outlet.faults)
        overdue = self._refused_since is not None and now - self._refused_since >= OPEN_AT_LATEST_S
        if let_go or overdue:
            self._switch(False)

    def _switch(self, closed: bool) -> None:
        closed = closed or "contactor-welded" in self._outlet.faults
        if closed != self._outlet.contactor_closed:
            self._outlet.contactor_closed = closed
            self._world.switched(self._outlet)

    def _overruling(self) -> Pilot | None:
        if "pilot-short" in self._outlet.faults:
            return Pilot.E
        locked = self._settings[LOCK] == 0 or self._world.now < self._free_from
        return Pilot.F if locked or self._outlet.faults else None

    def _state(self) -> int:
        if self._outlet.contactor_closed and not self._outlet.faults:
            return 7
        if self._outlet.shown is Pilot.E:
            return _E
        if self._outlet.faults:
            return _ERROR
        if self._outlet.shown is Pilot.F:
            return _F
        # C2 is charging; a box that has not closed yet is at C1.
        offers = self._outlet.offered_a > 0 and self._outlet.pilot is not Pilot.C
        return _PLAIN_STATES[self._outlet.pilot] + offers

    def _inputs(self) -> dict[int, int]:
        outlet = self._outlet
        volts = self._world.voltage_v(outlet)
        since_on = int(outlet.energy_wh - self._zero_wh)
        total = self._start_vah + int(outlet.energy_wh)
        values = {4: LAYOUT, 5: self._state(), 9: 285, 13: 1, 14: round(outlet.power_w)}
        values |= {15: since_on >> 16, 16: since_on & 0xFFFF}
        values |= {17: total >> 16, 18: total & 0xFFFF, 100: MAX_A, 101: MIN_A}
        for i in range(3):
            values[6 + i] = round(outlet.current_a[i] * 10)
            values[10 + i] = round(volts[i])
        return values


def _acceptable(address: int, value: int) -> bool:
    if address in (COMMAND, FAIL_SAFE):
        return value == 0 or MIN_A * 10 <= value <= MAX_A * 10
    if address == LOCK:
        return value in (0, 1)
    return address != STANDBY or value in (0, STANDBY_OFF)
