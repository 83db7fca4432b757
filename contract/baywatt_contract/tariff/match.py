"""Which price component applies to a slice, looked up per dimension (module Tariffs, Tariff)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from fractions import Fraction

from baywatt_contract.tariff.model import (
    WEEKDAYS,
    Dimension,
    PriceComponent,
    Reservation,
    Restrictions,
    Tariff,
    TariffElement,
)
from baywatt_contract.tariff.periods import PeriodState
from baywatt_contract.tariff.slices import Slice

_END_OF_DAY = time(0)


@dataclass(frozen=True, slots=True)
class Clause:
    """A price component with its place in the tariff."""

    element: int
    component: int
    price: PriceComponent

    def __str__(self) -> str:
        return f"elements[{self.element}].price_components[{self.component}]"


def find(tariff: Tariff, dimension: Dimension, part: Slice) -> Clause | None:
    """The first component of that dimension whose element is active on the slice; None is free."""
    for index, element in _candidates(tariff, part.period.state):
        for place, component in enumerate(element.price_components):
            if component.type is dimension and _active(element.limits, part):
                return Clause(index, place, component)
    return None


def _candidates(tariff: Tariff, state: PeriodState) -> Iterator[tuple[int, TariffElement]]:
    """The elements for that state in order of look-up.

    An expired reservation is priced by RESERVATION_EXPIRES, then by RESERVATION, per dimension.
    """
    kinds: dict[PeriodState, list[Reservation | None]] = {
        PeriodState.RESERVATION: [Reservation.RESERVATION],
        PeriodState.RESERVATION_EXPIRED: [
            Reservation.RESERVATION_EXPIRES,
            Reservation.RESERVATION,
        ],
    }
    for kind in kinds.get(state, [None]):
        for index, element in enumerate(tariff.elements):
            if element.limits.reservation is kind:
                yield index, element


def _active(limits: Restrictions, part: Slice) -> bool:
    return (
        _on_the_clock(limits, part.local)
        and _within(part.before_wh / 1000, limits.min_kwh, limits.max_kwh)
        and _within(part.elapsed_s, limits.min_duration, limits.max_duration)
        and _within(part.period.average_kw, limits.min_power, limits.max_power)
        and _within(part.period.sum_current_a, limits.min_current, limits.max_current)
    )


def _within(value: Fraction | None, low: Decimal | int | None, high: Decimal | int | None) -> bool:
    """low ≤ value < high; an unknown value meets no bound, so nobody pays by a guess."""
    if low is None and high is None:
        return True
    if value is None:
        return False
    return (low is None or value >= Fraction(low)) and (high is None or value < Fraction(high))


def _on_the_clock(limits: Restrictions, local: datetime) -> bool:
    return (
        (not limits.day_of_week or WEEKDAYS[local.weekday()] in limits.day_of_week)
        and (limits.start_date is None or local.date() >= limits.start_date)
        and (limits.end_date is None or local.date() < limits.end_date)
        and _in_hours(local.time(), limits.start_time, limits.end_time)
    )


def _in_hours(at: time, start: time | None, end: time | None) -> bool:
    """Whether `at` is in [start, end); an end before the start wraps, 00:00 ends the day."""
    start = start or _END_OF_DAY
    if end is None or end == _END_OF_DAY:
        return at >= start
    if start < end:
        return start <= at < end
    return at >= start or at < end
