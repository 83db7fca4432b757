"""From readings and limits to the periods that are priced. Pure.

A period is PARKING only where two readings in a row prove that the vehicle requested no power.
Idle time is waived while the site itself held power back: nobody pays for what the site did.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise

from baywatt_cloud.billing.errors import CannotBillError
from baywatt_contract.clock import EPOCH, format_utc_ms
from baywatt_contract.tariff import Period, PeriodState

END_CONTEXT = "Transaction.End"
MIN_CHARGE_MA = 6_000  # IEC 61851-1: below 6 A the pilot offers nothing
SITE_RULES = frozenset({"fuse-share", "supply-meter-stale", "waiting", "lower-before-raise"})
VEHICLE_RULES = frozenset({"no-demand"})


@dataclass(frozen=True, slots=True)
class Reading:
    """A billing-grade reading; `ref` names the event it came from."""

    time_ms: int
    mono_ms: int
    boot: int
    energy_wh: int
    vehicle_requests: bool
    current_ma: int  # sum over the phases
    context: str
    ref: str


@dataclass(frozen=True, slots=True)
class Limit:
    """What the connector may draw from this moment on, and which rule says so."""

    time_ms: int
    limit_ma: int
    rule: str
    reason: str

    @property
    def holds_back(self) -> bool:
        """Whether the site, not the vehicle, is why less flows."""
        if self.rule in VEHICLE_RULES:
            return False
        return self.rule in SITE_RULES or self.limit_ma < MIN_CHARGE_MA


@dataclass(frozen=True, slots=True)
class Stretch:
    """One period of the visit with its proof; `waived` says why it is free of idle fees."""

    period: Period
    begin: Reading
    end: Reading
    waived: str = ""


def stretches(readings: Sequence[Reading], limits: Sequence[Limit]) -> list[Stretch]:
    """The visit from its first to its last reading, in order; raises CannotBillError."""
    if len(readings) < 2:
        raise CannotBillError("fewer than two meter readings: begin and end are needed")
    times = _times(readings)
    found: list[Stretch] = []
    for (begin, from_ms), (end, to_ms) in pairwise(zip(readings, times, strict=True)):
        if end.energy_wh < begin.energy_wh:
            raise CannotBillError(
                f"the register ran backwards from {begin.energy_wh} to {end.energy_wh} Wh "
                f"at {format_utc_ms(end.time_ms)}"
            )
        found.extend(_between(begin, end, from_ms, to_ms, limits))
    return _merged(found)


def _times(readings: Sequence[Reading]) -> list[int]:
    """UTC of each reading: durations come from the monotonic clock, anchored at the last reading.

    The last one has the best clock; a clock that was set during the visit must not stretch it.
    """
    times = [readings[-1].time_ms]
    for earlier, later in pairwise(reversed(readings)):
        # pairwise of the reversed sequence: `earlier` comes first here, but is later in time.
        same_boot = earlier.boot == later.boot
        apart = earlier.mono_ms - later.mono_ms if same_boot else earlier.time_ms - later.time_ms
        times.append(times[-1] - max(0, apart))
    return times[::-1]


def _idle(begin: Reading, end: Reading) -> bool:
    still = not begin.vehicle_requests and end.energy_wh == begin.energy_wh
    return still and (not end.vehicle_requests or end.context == END_CONTEXT)


def _between(
    begin: Reading, end: Reading, from_ms: int, to_ms: int, limits: Sequence[Limit]
) -> Iterator[Stretch]:
    if not _idle(begin, end):
        current = Fraction(begin.current_ma + end.current_ma, 2000)
        yield Stretch(
            Period(
                PeriodState.CHARGING,
                _utc(from_ms),
                _utc(to_ms),
                end.energy_wh - begin.energy_wh,
                current_a=current,
                evidence=(begin.ref, end.ref),
            ),
            begin,
            end,
        )
        return
    cuts = sorted({limit.time_ms for limit in limits if from_ms < limit.time_ms < to_ms})
    for start, stop in pairwise([from_ms, *cuts, to_ms]):
        period = Period(PeriodState.PARKING, _utc(start), _utc(stop), evidence=(begin.ref, end.ref))
        yield Stretch(period, begin, end, _waiver(start, limits))


def _waiver(at_ms: int, limits: Sequence[Limit]) -> str:
    in_force = None
    for limit in limits:
        if limit.time_ms <= at_ms:
            in_force = limit
    return in_force.reason or in_force.rule if in_force and in_force.holds_back else ""


def _merged(found: Sequence[Stretch]) -> list[Stretch]:
    """Idle stretches that follow each other without a difference become one."""
    merged: list[Stretch] = []
    for each in found:
        last = merged[-1] if merged else None
        if last is not None and _alike(last, each):
            period = Period(
                PeriodState.PARKING,
                last.period.start,
                each.period.end,
                evidence=(last.begin.ref, each.end.ref),
            )
            merged[-1] = Stretch(period, last.begin, each.end, last.waived)
        else:
            merged.append(each)
    return merged


def _alike(one: Stretch, other: Stretch) -> bool:
    idle = PeriodState.PARKING
    return one.period.state is idle is other.period.state and one.waived == other.waived


def _utc(utc_ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=utc_ms)
