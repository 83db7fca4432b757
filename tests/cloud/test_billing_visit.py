"""From readings and limits to billable periods."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baywatt_cloud.billing.errors import CannotBillError
from baywatt_cloud.billing.visit import END_CONTEXT, Limit, Reading, stretches
from baywatt_contract.tariff import PeriodState

START = 1_790_000_000_000


def reading(
    at_s: float, wh: int, *, requests: bool = True, context: str = "", **more: int
) -> Reading:
    ms = round(at_s * 1000)
    boot = more.get("boot", 1)
    time_ms = more.get("time_ms", START + ms)
    return Reading(time_ms, ms, boot, wh, requests, 48_000, context, f"r{at_s}")


def idle_from(at_s: float) -> list[Reading]:
    """Charged until then, idle for ten minutes after it."""
    return [
        reading(0, 100),
        reading(at_s, 900, requests=False),
        reading(at_s + 300, 900, requests=False),
        reading(at_s + 600, 900, context=END_CONTEXT),
    ]


def test_idle_time_is_what_two_readings_in_a_row_prove() -> None:
    found = stretches(idle_from(60), [])
    assert [(each.period.state, each.period.micros // 1_000_000) for each in found] == [
        (PeriodState.CHARGING, 60),
        (PeriodState.PARKING, 600),
    ]
    assert found[1].period.evidence == ("r60", "r660")


def test_a_vehicle_that_asks_again_is_not_idle_before_it() -> None:
    readings = [reading(0, 1), reading(60, 2, requests=False), reading(120, 2), reading(180, 3)]
    assert all(each.period.state is PeriodState.CHARGING for each in stretches(readings, []))


def test_energy_that_flows_is_not_idle_whatever_the_pilot_says() -> None:
    readings = [reading(0, 1, requests=False), reading(60, 2, requests=False)]
    assert stretches(readings, [])[0].period.state is PeriodState.CHARGING


def test_idle_time_is_waived_exactly_while_the_site_held_power_back() -> None:
    limits = [
        Limit(START, 16_000, "connector", ""),
        Limit(START + 160_000, 0, "waiting", "the site is full"),
        Limit(START + 260_000, 16_000, "connector", ""),
    ]
    found = stretches(idle_from(60), limits)[1:]
    assert [(each.period.micros // 1_000_000, each.waived) for each in found] == [
        (100, ""),
        (100, "the site is full"),
        (400, ""),
    ]


@pytest.mark.parametrize(
    ("limit_ma", "rule", "waived"),
    [
        (8_000, "fuse-share", True),
        (0, "csms", True),  # below 6 A nothing can flow
        (16_000, "csms", False),
        (0, "no-demand", False),  # the vehicle itself asks for nothing
    ],
)
def test_who_holds_back_decides(limit_ma: int, rule: str, waived: bool) -> None:
    found = stretches(idle_from(60), [Limit(START, limit_ma, rule, "")])
    assert bool(found[1].waived) is waived


def test_a_clock_that_was_set_during_the_visit_does_not_stretch_it() -> None:
    readings = [reading(0, 1, time_ms=0), reading(60, 2), reading(120, 3)]
    found = stretches(readings, [])
    assert [each.period.micros for each in found] == [60_000_000, 60_000_000]
    assert found[1].period.end.timestamp() * 1000 == START + 120_000


def test_a_register_that_ran_backwards_is_not_guessed() -> None:
    with pytest.raises(CannotBillError, match="ran backwards from 5 to 4 Wh"):
        stretches([reading(0, 5), reading(60, 4)], [])
    with pytest.raises(CannotBillError, match="fewer than two"):
        stretches([reading(0, 5)], [])


@given(
    st.lists(
        st.tuples(st.integers(0, 500), st.integers(0, 900), st.booleans()), min_size=2, max_size=12
    ),
    st.lists(st.tuples(st.integers(0, 3_000), st.sampled_from([0, 16_000])), max_size=6),
)
def test_periods_cover_the_visit_and_its_energy_once(
    steps: list[tuple[int, int, bool]], changes: list[tuple[int, int]]
) -> None:
    at, wh, readings = 0, 0, []
    for seconds, more, requests in steps:
        at, wh = at + seconds, wh + more
        readings.append(reading(at, wh, requests=requests))
    limits = [Limit(START + s * 1000, ma, "waiting", "x") for s, ma in sorted(changes)]
    found = stretches(readings, limits)
    assert sum(each.period.energy_wh for each in found) == wh - readings[0].energy_wh
    assert all(a.period.end == b.period.start for a, b in pairwise(found))
    assert found[0].period.start.timestamp() * 1000 == readings[0].time_ms
    assert found[-1].period.end.timestamp() * 1000 == readings[-1].time_ms
