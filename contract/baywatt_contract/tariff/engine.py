"""Price a visit by a tariff, exactly: every amount is a fraction, nothing is rounded here.

Rounding to a step_size is the tariff's own rule and is applied as OCPI 2.2.1 (module CDRs,
"step_size") has it: once per session for ENERGY, and once for TIME and PARKING_TIME together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from baywatt_contract.tariff.clamp import Bounded, bounded
from baywatt_contract.tariff.lines import PricedLine, Usage
from baywatt_contract.tariff.match import Clause, find
from baywatt_contract.tariff.model import Dimension, Tariff
from baywatt_contract.tariff.periods import Period, PeriodState, checked
from baywatt_contract.tariff.slices import Slice, cut
from baywatt_contract.tariff.wallclock import zone

_Key = tuple[bool, Dimension, int, int]


@dataclass(frozen=True, slots=True)
class Priced:
    """What a visit costs: the lines sum to the totals, both before any rounding to minor units."""

    currency: str
    lines: tuple[PricedLine, ...]
    excl_vat: Fraction
    incl_vat: Fraction


def price(tariff: Tariff, time_zone: str, periods: Sequence[Period]) -> Priced:
    """Price the periods, in order, on the wall clock of `time_zone`.

    A component without `vat` counts as 0 %. Raises BadPeriodsError or BadTimeZoneError.
    """
    sheet = _Sheet()
    for part in cut(tariff, checked(periods), zone(time_zone)):
        for dimension, amount in _amounts(part):
            clause = find(tariff, dimension, part)
            if clause is not None:
                sheet.add(part, clause, amount)
    sheet.round_up()
    result: Bounded = bounded(tariff, tuple(usage.line() for usage in sheet.usages.values()))
    return Priced(tariff.currency, result.lines, result.excl_vat, result.incl_vat)


def _amounts(part: Slice) -> Iterator[tuple[Dimension, Fraction]]:
    """What the slice uses, in the dimension's own step unit: 1, s or Wh."""
    yield Dimension.FLAT, Fraction(1)
    state = part.period.state
    time = Dimension.PARKING_TIME if state is PeriodState.PARKING else Dimension.TIME
    if part.duration_s:
        yield time, part.duration_s
    if part.energy_wh and not state.reserves:
        yield Dimension.ENERGY, part.energy_wh


@dataclass(slots=True)
class _Sheet:
    """Usage per clause, in order of first use; reservation and session are counted apart."""

    usages: dict[_Key, Usage] = field(default_factory=dict)
    last: dict[tuple[bool, bool], _Key] = field(default_factory=dict)

    def add(self, part: Slice, clause: Clause, amount: Fraction) -> None:
        dimension, reserves = clause.price.type, part.period.state.reserves
        key = (reserves, dimension, clause.element, clause.component)
        if dimension is Dimension.FLAT:
            if any(each[:2] == key[:2] for each in self.usages):
                return  # a flat fee is due once, by the first clause that was active
        else:
            self.last[reserves, dimension is Dimension.ENERGY] = key
        usage = self.usages.setdefault(key, Usage(clause, reserves))
        usage.add(part.index, amount)

    def round_up(self) -> None:
        """The last component used rounds the total of its dimension, at its own price."""
        for key in self.last.values():
            step = self.usages[key].clause.price.step_size
            if step:
                used = sum((u.used for k, u in self.usages.items() if k[:2] == key[:2]), Fraction())
                self.usages[key].rounded_up = -(-used // step) * step - used
