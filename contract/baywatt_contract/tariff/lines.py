"""The lines of a price: which clause, how much, and what proves it."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from baywatt_contract.tariff.match import Clause
from baywatt_contract.tariff.model import Dimension

# From the step's unit (Wh, s) to the price's unit (kWh, h).
_PER_UNIT = {
    Dimension.ENERGY: 1000,
    Dimension.TIME: 3600,
    Dimension.PARKING_TIME: 3600,
    Dimension.FLAT: 1,
}


@dataclass(frozen=True, slots=True)
class PricedLine:
    """One clause of the tariff at work: `quantity` x `unit_price` = `excl_vat`, all exact.

    `quantity` is in kWh, hours or times; `rounded_up` is the part of it that step_size added.
    `dimension` is OCPI's, or MIN_PRICE / MAX_PRICE for the adjustment to the tariff's bounds.
    `periods` are the indices of the periods that were priced by this clause.
    """

    dimension: str
    clause: str
    quantity: Fraction
    unit_price: Fraction
    vat_percent: Fraction
    excl_vat: Fraction
    incl_vat: Fraction
    reservation: bool = False
    rounded_up: Fraction = Fraction(0)
    periods: tuple[int, ...] = ()


@dataclass(slots=True)
class Usage:
    """How much of a clause was used so far, in its step's unit."""

    clause: Clause
    reservation: bool
    used: Fraction = Fraction(0)
    rounded_up: Fraction = Fraction(0)
    periods: dict[int, None] = field(default_factory=dict)

    def add(self, index: int, amount: Fraction) -> None:
        """Count what a slice of that period used."""
        self.used += amount
        self.periods[index] = None

    def line(self) -> PricedLine:
        """The usage as a line."""
        component = self.clause.price
        per_unit = _PER_UNIT[component.type]
        quantity = (self.used + self.rounded_up) / per_unit
        vat = Fraction(component.vat or 0)
        excl = quantity * Fraction(component.price)
        return PricedLine(
            dimension=component.type.value,
            clause=str(self.clause),
            quantity=quantity,
            unit_price=Fraction(component.price),
            vat_percent=vat,
            excl_vat=excl,
            incl_vat=excl * (1 + vat / 100),
            reservation=self.reservation,
            rounded_up=self.rounded_up / per_unit,
            periods=tuple(self.periods),
        )
