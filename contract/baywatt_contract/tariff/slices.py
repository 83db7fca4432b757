"""Cut periods into slices within which no restriction of a tariff can change its answer."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

from baywatt_contract.tariff.model import Tariff
from baywatt_contract.tariff.periods import Period
from baywatt_contract.tariff.wallclock import boundaries, micros, wall


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of one period. Every restriction is judged at its beginning.

    `elapsed_s` and `before_wh` count from the beginning of the session (of the reservation, if
    the period reserves) to the beginning of the slice.
    """

    index: int
    period: Period
    local: datetime
    elapsed_s: Fraction
    before_wh: Fraction
    duration_s: Fraction
    energy_wh: Fraction


@dataclass(frozen=True, slots=True)
class _Thresholds:
    clock: Sequence[int]
    durations_s: frozenset[int]
    energies_wh: frozenset[Fraction]

    @classmethod
    def of(cls, tariff: Tariff, periods: Sequence[Period], site: ZoneInfo) -> _Thresholds:
        limits = [element.limits for element in tariff.elements]
        durations = {s for each in limits for s in (each.min_duration, each.max_duration)}
        energies = {kwh for each in limits for kwh in (each.min_kwh, each.max_kwh)}
        return cls(
            boundaries(tariff, periods[0].start, periods[-1].end, site),
            frozenset(s for s in durations if s is not None),
            frozenset(Fraction(kwh) * 1000 for kwh in energies if kwh is not None),
        )


@dataclass(frozen=True, slots=True)
class _Placed:
    """A period with where it begins on the clocks of its phase."""

    index: int
    period: Period
    phase_start: int
    before_wh: Fraction

    @property
    def elapsed_us(self) -> int:
        return micros(self.period.start) - self.phase_start


def cut(tariff: Tariff, periods: Sequence[Period], site: ZoneInfo) -> Iterator[Slice]:
    """The slices of checked periods, in order; together they are exactly the periods."""
    thresholds = _Thresholds.of(tariff, periods, site)
    for placed in _placed(periods):
        marks = sorted({Fraction(0), Fraction(1), *_cuts(placed, thresholds)})
        for begin, end in pairwise(marks):
            yield _slice(placed, begin, end, site)


def _placed(periods: Sequence[Period]) -> Iterator[_Placed]:
    starts: dict[bool, int] = {}
    used: dict[bool, Fraction] = {}
    for index, period in enumerate(periods):
        phase = period.state.reserves
        start = starts.setdefault(phase, micros(period.start))
        yield _Placed(index, period, start, used.get(phase, Fraction(0)))
        used[phase] = used.get(phase, Fraction(0)) + period.energy_wh


def _cuts(placed: _Placed, thresholds: _Thresholds) -> Iterator[Fraction]:
    """Where in the period, as a fraction of it, a threshold is met."""
    period, length = placed.period, placed.period.micros
    if length:
        begin = micros(period.start)
        low = bisect_right(thresholds.clock, begin)
        high = bisect_left(thresholds.clock, begin + length)
        yield from (Fraction(at - begin, length) for at in thresholds.clock[low:high])
        since = (s * 1_000_000 - placed.elapsed_us for s in thresholds.durations_s)
        yield from (Fraction(at, length) for at in since if 0 < at < length)
    if period.energy_wh:
        still = (wh - placed.before_wh for wh in thresholds.energies_wh)
        yield from (Fraction(wh) / period.energy_wh for wh in still if 0 < wh < period.energy_wh)


def _slice(placed: _Placed, begin: Fraction, end: Fraction, site: ZoneInfo) -> Slice:
    period, length = placed.period, placed.period.micros
    into = begin * length
    # Wall-clock boundaries are whole microseconds, so the floor is on the same side of them.
    at = micros(period.start) + into.numerator // into.denominator
    return Slice(
        index=placed.index,
        period=period,
        local=wall(at, site),
        elapsed_s=(placed.elapsed_us + into) / 1_000_000,
        before_wh=placed.before_wh + begin * period.energy_wh,
        duration_s=(end - begin) * length / 1_000_000,
        energy_wh=(end - begin) * period.energy_wh,
    )
