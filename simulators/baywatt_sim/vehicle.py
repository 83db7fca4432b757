"""An electric vehicle as the charger sees it: what its pilot says and how its current follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from baywatt_contract.observations import Pilot

# IEC 61851-1 Annex A lets a vehicle take 5 s to follow a new duty cycle; real ones are quicker.
REACTION_S = 0.25
FALL_A_PER_S = 40.0
RISE_A_PER_S = 8.0
# The lowest current that a duty cycle can offer (IEC 61851-1, Table A.7).
LEAST_OFFER_A = 6.0


@dataclass(slots=True)
class Vehicle:
    """One car on a cable. `step` moves it through time; `soc` is 0 to 1.

    `iso15118` is None for a car that knows the pilot only, "external" when another process plays
    the car's high-level communication, or that car's own settings.
    """

    capacity_wh: float = 60_000.0
    soc: float = 0.2
    max_current_a: float = 32.0
    phases: int = 3
    ready: bool = True
    iso15118: str | Mapping[str, Any] | None = None
    current_a: float = 0.0  # per phase in use
    asks: bool = False  # the switch S2: state C
    _heard_a: float = 0.0
    _offer_age_s: float = 0.0
    _switch_age_s: float = 0.0
    battery_v: float = field(default=400.0)

    @property
    def wants(self) -> bool:
        """Whether it would charge if it were allowed; an external car decides that itself."""
        return self.ready and (self.soc < 1.0 or self.iso15118 == "external")

    @property
    def pilot(self) -> Pilot:
        """What it shows on the control pilot."""
        return Pilot.C if self.asks else Pilot.B

    def step(self, dt_s: float, offered_a: float, *, supplied: bool) -> None:
        """Live for `dt_s` with this offer; `supplied` is whether the contactor is closed."""
        self._listen(dt_s, offered_a)
        welcome = self.wants and self._heard_a > 0
        self._switch(dt_s, welcome)
        target = min(self._heard_a, self.max_current_a) if welcome and self.asks else 0.0
        self._follow(dt_s, target)
        if not supplied:
            self.current_a = 0.0

    def charge(self, energy_wh: float) -> None:
        """Take energy into the battery."""
        self.soc = min(1.0, self.soc + energy_wh / self.capacity_wh)

    def _listen(self, dt_s: float, offered_a: float) -> None:
        """Take over a new offer after the reaction time."""
        offer = offered_a if offered_a >= LEAST_OFFER_A else 0.0
        if offer == self._heard_a:
            self._offer_age_s = 0.0
            return
        self._offer_age_s += dt_s
        if self._offer_age_s >= REACTION_S:
            self._heard_a, self._offer_age_s = offer, 0.0

    def _switch(self, dt_s: float, welcome: bool) -> None:
        """S2 closes when charging is welcome and opens when the current is gone."""
        settled = self.asks == welcome or (self.asks and self.current_a > 0)
        self._switch_age_s = 0.0 if settled else self._switch_age_s + dt_s
        if self._switch_age_s >= REACTION_S:
            self.asks, self._switch_age_s = welcome, 0.0

    def _follow(self, dt_s: float, target_a: float) -> None:
        if target_a < self.current_a:
            self.current_a = max(target_a, self.current_a - FALL_A_PER_S * dt_s)
        else:
            self.current_a = min(target_a, self.current_a + RISE_A_PER_S * dt_s)
