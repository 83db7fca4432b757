"""What is priced: the periods of a visit, in order, each with one state and its energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fractions import Fraction

from baywatt_contract.tariff.errors import BadPeriodsError
from baywatt_contract.tariff.wallclock import micros

MAX_SPAN_DAYS = 400
MAX_PERIODS = 20_000


class PeriodState(StrEnum):
    """What the visit is in. PARKING: plugged in, but the vehicle requests no power."""

    CHARGING = "CHARGING"
    PARKING = "PARKING"
    RESERVATION = "RESERVATION"
    RESERVATION_EXPIRED = "RESERVATION_EXPIRED"

    @property
    def reserves(self) -> bool:
        """Whether this is time before, or instead of, a session."""
        return self in {PeriodState.RESERVATION, PeriodState.RESERVATION_EXPIRED}


@dataclass(frozen=True, slots=True)
class Period:
    """One stretch of a visit; its energy is spread evenly over it.

    `start` and `end` are aware. `current_a` is the sum over the phases. Absent `power_kw` is the
    period's average; absent `current_a` is unknown unless no energy flowed. `evidence` names
    what proves the period, e.g. the readings at its ends.
    """

    state: PeriodState
    start: datetime
    end: datetime
    energy_wh: int | Fraction = 0
    current_a: Fraction | None = None
    power_kw: Fraction | None = None
    evidence: tuple[str, ...] = ()

    @property
    def micros(self) -> int:
        """Length in microseconds."""
        # By way of UTC: two times of one zone would be subtracted on its wall clock.
        return micros(self.end) - micros(self.start)

    @property
    def average_kw(self) -> Fraction | None:
        """The power to judge restrictions by; None for an instant of unknown power."""
        if self.power_kw is not None:
            return self.power_kw
        if not self.energy_wh:
            return Fraction(0)
        if not self.micros:
            return None
        return Fraction(self.energy_wh) * 3_600_000 / self.micros

    @property
    def sum_current_a(self) -> Fraction | None:
        """The current to judge restrictions by; None if unknown."""
        if self.current_a is None and not self.energy_wh:
            return Fraction(0)
        return self.current_a


def checked(periods: Sequence[Period]) -> Sequence[Period]:
    """The periods, if they can be priced; raises BadPeriodsError naming the first that cannot."""
    if not periods:
        raise BadPeriodsError("there is no period to price: give at least one")
    if len(periods) > MAX_PERIODS:
        raise BadPeriodsError(f"{len(periods)} periods, at most {MAX_PERIODS}: merge equal ones")
    for i, each in enumerate(periods):
        _check(i, each, periods[i - 1] if i else None)
    if micros(periods[-1].end) - micros(periods[0].start) > MAX_SPAN_DAYS * 86_400_000_000:
        raise BadPeriodsError(f"the periods span more than {MAX_SPAN_DAYS} days: split the visit")
    return periods


def _check(index: int, each: Period, before: Period | None) -> None:
    if each.start.tzinfo is None or each.end.tzinfo is None:
        raise BadPeriodsError(f"period {index} has a time without offset: write it in UTC")
    if each.micros < 0:
        raise BadPeriodsError(f"period {index} ends before it starts: exchange start and end")
    if each.energy_wh < 0:
        raise BadPeriodsError(f"period {index} has negative energy: check its registers")
    if before is not None and micros(each.start) < micros(before.end):
        raise BadPeriodsError(f"period {index} starts before the one before it ends: sort them")
