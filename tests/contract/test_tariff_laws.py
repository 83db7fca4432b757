"""What must hold for every tariff and every visit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from baywatt_contract.tariff import Period, PeriodState, Tariff, price

# Clock changes lie within reach of both starts, in both directions.
STARTS = st.sampled_from(
    [datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)]
)
ZONES = st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"])
HOURS = st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.sampled_from([0, 30]))
TIMES = st.one_of(st.none(), HOURS)
DAYS = ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"]


@st.composite
def components(draw: st.DrawFn, step: st.SearchStrategy[int]) -> dict[str, Any]:
    cents = draw(st.integers(0, 500))
    return {
        "type": draw(st.sampled_from(["ENERGY", "TIME", "PARKING_TIME", "FLAT"])),
        "price": f"{cents // 100}.{cents % 100:02d}",
        "step_size": draw(step),
        "vat": draw(st.sampled_from([None, "0", "7", "19", "8.1"])),
    }


@st.composite
def tariffs(draw: st.DrawFn, *, step: st.SearchStrategy[int], by_use: bool = True) -> Tariff:
    maybe = lambda low, high: draw(st.one_of(st.none(), st.integers(low, high)))  # noqa: E731
    elements = []
    for _ in range(draw(st.integers(1, 4))):
        limits: dict[str, Any] = {
            "start_time": draw(TIMES),
            "end_time": draw(TIMES),
            "day_of_week": draw(st.lists(st.sampled_from(DAYS), max_size=3, unique=True)),
        }
        if by_use:
            limits |= {
                "min_kwh": maybe(0, 20),
                "max_kwh": maybe(0, 20),
                "min_duration": maybe(0, 20_000),
                "max_duration": maybe(0, 20_000),
                "max_power": maybe(0, 30),
            }
        parts = draw(st.lists(components(step), min_size=1, max_size=3))
        elements.append({"price_components": parts, "restrictions": limits})
    return Tariff.model_validate({"currency": "EUR", "elements": elements})


@st.composite
def visits(draw: st.DrawFn) -> list[Period]:
    at = draw(STARTS) + timedelta(minutes=draw(st.integers(0, 600)))
    periods = []
    for _ in range(draw(st.integers(1, 4))):
        end = at + timedelta(seconds=draw(st.integers(0, 40_000)))
        state = draw(st.sampled_from([PeriodState.CHARGING, PeriodState.PARKING]))
        wh = draw(st.integers(0, 30_000)) if state is PeriodState.CHARGING and end > at else 0
        periods.append(Period(state, at, end, wh))
        at = end
    return periods


def halves(period: Period, at: Fraction) -> list[Period]:
    """The period cut in two at a whole microsecond; power stays what it was."""
    micros = int(period.micros * at)
    middle = period.start + timedelta(microseconds=micros)
    share = Fraction(micros, period.micros) if period.micros else Fraction(0)
    first = period.energy_wh * share
    return [
        Period(period.state, period.start, middle, first, power_kw=period.average_kw),
        Period(
            period.state, middle, period.end, period.energy_wh - first, power_kw=period.average_kw
        ),
    ]


@given(tariffs(step=st.just(1)), ZONES, visits(), st.data())
@settings(max_examples=150, deadline=None)
def test_cutting_a_period_never_changes_the_price(
    tariff: Tariff, zone: str, periods: list[Period], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(periods) - 1))
    at = data.draw(st.fractions(0, 1, max_denominator=50))
    cut = [*periods[:index], *halves(periods[index], at), *periods[index + 1 :]]
    whole, parts = price(tariff, zone, periods), price(tariff, zone, cut)
    assert (whole.excl_vat, whole.incl_vat) == (parts.excl_vat, parts.incl_vat)


@given(tariffs(step=st.integers(0, 5_000)), ZONES, visits())
@settings(max_examples=100, deadline=None)
def test_lines_sum_to_the_totals(tariff: Tariff, zone: str, periods: list[Period]) -> None:
    priced = price(tariff, zone, periods)
    assert sum(line.excl_vat for line in priced.lines) == priced.excl_vat
    assert sum(line.incl_vat for line in priced.lines) == priced.incl_vat
    assert all(line.quantity * line.unit_price == line.excl_vat for line in priced.lines)


@given(tariffs(step=st.just(0), by_use=False), visits(), st.integers(1, 5_000))
@settings(max_examples=100, deadline=None)
def test_more_energy_never_costs_less(tariff: Tariff, periods: list[Period], more: int) -> None:
    """Where no element ends by use: a cheaper price above 20 kWh may well lower the total.

    And without steps: the last component rounds for all, so a late free one may spare a step.
    """
    last = periods[-1]
    fuller = [*periods[:-1], Period(last.state, last.start, last.end, last.energy_wh + more)]
    before, after = (price(tariff, "Europe/Berlin", each) for each in (periods, fuller))
    assert after.excl_vat >= before.excl_vat


@given(tariffs(step=st.integers(0, 5_000)), visits(), st.integers(0, 900), st.integers(0, 900))
@settings(max_examples=100, deadline=None)
def test_the_total_keeps_within_min_and_max(
    tariff: Tariff, periods: list[Period], one: int, other: int
) -> None:
    low, high = sorted((one, other))
    bounds = {"min_price": {"excl_vat": low}, "max_price": {"excl_vat": high}}
    bounded = Tariff.model_validate(tariff.model_dump() | bounds)
    priced = price(bounded, "Europe/Berlin", periods)
    assert low <= priced.excl_vat <= high
    assert sum(line.incl_vat for line in priced.lines) == priced.incl_vat


@given(visits(), ZONES)
@settings(max_examples=100, deadline=None)
def test_hours_that_share_the_day_price_all_of_it_once(periods: list[Period], zone: str) -> None:
    """A day cut into 24 elements of an hour costs what an element without hours costs."""

    def at(price_each: list[dict[str, Any]]) -> Fraction:
        tariff = Tariff.model_validate({"currency": "EUR", "elements": price_each})
        return price(tariff, zone, periods).excl_vat

    def part(**limits: str) -> dict[str, Any]:
        kinds = ("TIME", "PARKING_TIME", "ENERGY")
        return {
            "price_components": [{"type": each, "price": 1, "step_size": 0} for each in kinds],
            "restrictions": limits,
        }

    hours = [part(start_time=f"{h:02d}:00", end_time=f"{(h + 1) % 24:02d}:00") for h in range(24)]
    assert at(hours) == at([part()])
