"""The physical truth of a site: what flows, where cars stand, how much energy has passed.

Pure: it moves only when told how much time has gone by. Devices show it by their registers,
controllers (boards, wallboxes) move its contactors and pilots, people move its cars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from baywatt_contract.observations import Pilot
from baywatt_sim.vehicle import Vehicle

NOMINAL_V = 230.0
# The supply sags a little under load: 40 mΩ per phase.
SUPPLY_OHM = 0.04
FREQUENCY_HZ = 50.0
# Longest step of the integration; `advance` cuts longer spans.
STEP_S = 0.05
# Beyond this the host was asleep: charging it as if it had been awake would be a lie.
LONGEST_GAP_S = 5.0
DC_EFFICIENCY = 0.95
DC_RAMP_V_PER_S = 400.0
DC_RAMP_A_PER_S = 100.0


@dataclass(slots=True)
class DcSource:
    """The output of one DC power module; the module's device sets what is asked of it."""

    max_v: float = 1000.0
    max_a: float = 100.0
    max_w: float = 30_000.0
    on: bool = False
    set_v: float = 0.0
    set_a: float = 0.0
    volts: float = 0.0
    amps: float = 0.0

    def step(self, dt_s: float, load_v: float | None, load_max_a: float = 0.0) -> None:
        """Live for `dt_s`; `load_v` is the battery behind a closed contactor, None for none."""
        if not self.on:
            self.volts, self.amps = max(0.0, self.volts - DC_RAMP_V_PER_S * dt_s), 0.0
            return
        wanted_v = min(self.set_v, self.max_v)
        if load_v is None or wanted_v <= load_v:
            self.amps = 0.0
            self.volts = _towards(self.volts, wanted_v, DC_RAMP_V_PER_S * dt_s)
            return
        self.volts = load_v
        wanted_a = min(self.set_a, self.max_a, self.max_w / load_v, load_max_a)
        self.amps = _towards(self.amps, wanted_a, DC_RAMP_A_PER_S * dt_s)


def _towards(value: float, target: float, most: float) -> float:
    return min(target, value + most) if target > value else max(target, value - most)


@dataclass(slots=True)
class Outlet:
    """The physical side of one connector.

    The controller sets `contactor_closed`, `poles`, `offered_a` (0 = no duty cycle), `locked`,
    `shown` and `faults`.
    Energies count from the start of the world; `phase_wh` is the AC side, `energy_wh` what passed
    the contactor.
    """

    id: int
    phases: tuple[int, ...] = (1, 2, 3)  # grid phase behind L1, L2, L3
    sources: list[DcSource] = field(default_factory=list)
    vehicle: Vehicle | None = None
    contactor_closed: bool = False
    offered_a: float = 0.0
    poles: int = 3  # how many phases the contactor connects
    locked: bool = False
    faults: set[str] = field(default_factory=set)
    shown: Pilot | None = None  # the controller's own state, where it overrules (E, F)
    current_a: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    phase_wh: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    energy_wh: float = 0.0
    power_w: float = 0.0

    @property
    def pilot(self) -> Pilot:
        """What the vehicle side of the pilot says."""
        return Pilot.A if self.vehicle is None else self.vehicle.pilot

    @property
    def drawn_a(self) -> float:
        """What the controller's own sensor sees: the highest phase current, or that of the DC."""
        if self.sources:
            return sum(each.amps for each in self.sources)
        return max(self.current_a)


class World:
    """A site. `now` is the moment it has reached; all moments are monotonic seconds."""

    def __init__(self, outlets: Sequence[Outlet], bays: Sequence[str], now: float) -> None:
        self.outlets = {each.id: each for each in outlets}
        self.bays = dict.fromkeys(bays, False)
        self.other_load_a = [0.0, 0.0, 0.0]
        self.battery_speed = 1.0
        self.supply_wh = [0.0, 0.0, 0.0]
        self.started = self.now = now

    @property
    def supply_current_a(self) -> list[float]:
        """What the site draws from each grid phase."""
        currents = list(self.other_load_a)
        for outlet in self.outlets.values():
            for phase, amps in zip(outlet.phases, outlet.current_a, strict=False):
                currents[phase - 1] += amps
        return currents

    @property
    def supply_voltage_v(self) -> list[float]:
        """The voltage of each grid phase under the present load."""
        return [NOMINAL_V - SUPPLY_OHM * amps for amps in self.supply_current_a]

    def voltage_v(self, outlet: Outlet) -> list[float]:
        """The voltage at the outlet's L1, L2, L3; 0 where it has none."""
        supply = self.supply_voltage_v
        volts = [supply[phase - 1] for phase in outlet.phases]
        return volts + [0.0] * (3 - len(volts))

    def advance(self, now: float) -> None:
        """Bring the world to `now` in steps; a gap of a sleeping host is left out."""
        gap = now - self.now
        self.now = max(self.now, now)
        left = min(gap, LONGEST_GAP_S)
        while left > 0:
            self.step(min(left, STEP_S))
            left -= STEP_S

    def step(self, dt_s: float) -> None:
        """Let `dt_s` pass: cars and modules move, then power flows for that long."""
        for outlet in self.outlets.values():
            self._move(outlet, dt_s)
        volts = self.supply_voltage_v
        for phase, amps in enumerate(self.supply_current_a):
            self.supply_wh[phase] += volts[phase] * amps * dt_s / 3600
        for outlet in self.outlets.values():
            self._count(outlet, dt_s)

    def switched(self, outlet: Outlet) -> None:
        """The contactor moved: an open one stops the current at once."""
        if not outlet.contactor_closed:
            outlet.current_a, outlet.power_w = [0.0, 0.0, 0.0], 0.0
            for source in outlet.sources:
                source.amps = 0.0
            if outlet.vehicle is not None:
                outlet.vehicle.current_a = 0.0

    def _move(self, outlet: Outlet, dt_s: float) -> None:
        car = outlet.vehicle
        if car is not None:
            car.step(dt_s, outlet.offered_a, supplied=outlet.contactor_closed)
        if outlet.sources:
            self._move_dc(outlet, car, dt_s)
        elif car is None or not outlet.contactor_closed:
            outlet.current_a = [0.0, 0.0, 0.0]
        else:
            used = min(car.phases, len(outlet.phases), outlet.poles)
            outlet.current_a = [car.current_a] * used + [0.0] * (3 - used)

    def _move_dc(self, outlet: Outlet, car: Vehicle | None, dt_s: float) -> None:
        battery = car.battery_v if car and outlet.contactor_closed and car.wants else None
        most = car.max_current_a if car else 0.0
        for source in outlet.sources:
            source.step(dt_s, battery, most / len(outlet.sources))
        taken_w = sum(each.volts * each.amps for each in outlet.sources) / DC_EFFICIENCY
        count = len(outlet.phases)
        outlet.current_a = [taken_w / count / NOMINAL_V] * count + [0.0] * (3 - count)

    def _count(self, outlet: Outlet, dt_s: float) -> None:
        volts = self.voltage_v(outlet)
        taken = [v * a for v, a in zip(volts, outlet.current_a, strict=True)]
        for i, watts in enumerate(taken):
            outlet.phase_wh[i] += watts * dt_s / 3600
        outlet.power_w = sum(taken)
        if outlet.sources:
            outlet.power_w = sum(each.volts * each.amps for each in outlet.sources)
        passed_wh = outlet.power_w * dt_s / 3600
        outlet.energy_wh += passed_wh
        if outlet.vehicle is not None:
            outlet.vehicle.charge(passed_wh * self.battery_speed)
