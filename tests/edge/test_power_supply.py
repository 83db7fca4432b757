"""The other load is seen through meters that are read one after the other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from baywatt_contract.clock import Instant
from baywatt_contract.observations import MeterReading, Quantity
from baywatt_edge.power import ConnectorCurrent, SupplyEstimator

GRID_TO_CAR_MS = 80  # one meter after the other on a line at 19,200 baud


def grid(now_ms, amps):
    at = Instant(now_ms, 1, 1_790_000_000_000 + now_ms)
    values = {
        Quantity.CURRENT_L1_MA: amps,
        Quantity.CURRENT_L2_MA: amps,
        Quantity.CURRENT_L3_MA: amps,
    }
    return MeterReading("grid", at, values)


def car_reading(now_ms):
    return MeterReading("meter-1", Instant(now_ms, 1, 1_790_000_000_000 + now_ms), {})


def play(cars, other, seconds=20, read_cars=True):
    """`cars` are functions of time (ms) to mA; returns the estimates, one a second."""
    estimator = SupplyEstimator("grid")
    estimates = []
    newest = [ConnectorCurrent((car(0),) * 3, -1) for car in cars]
    for second in range(seconds):
        now = second * 1000
        total = other(now) + sum(car(now) for car in cars)
        estimator.observe(grid(now, total), newest)
        for index, car in enumerate(cars):
            if not read_cars:
                continue
            at = now + GRID_TO_CAR_MS * (index + 1)
            newest[index] = ConnectorCurrent((car(at),) * 3, at)
            estimator.observe(car_reading(at), newest)
        estimates.append(estimator.other_load_ma(now + 900))
    return estimates


def ramp(start_ms, before, after):
    """A vehicle follows a new limit within two seconds."""

    def current(now_ms):
        part = min(1.0, max(0.0, (now_ms - start_ms) / 2000))
        return round(before + (after - before) * part)

    return current


amps = st.integers(0, 32).map(lambda a: a * 1000)


@given(st.lists(st.tuples(st.integers(0, 15_000), amps, amps), min_size=1, max_size=4), amps)
def test_ramps_never_hide_or_invent_more_than_two_amperes_per_car(ramps, other):
    cars = [ramp(*each) for each in ramps]
    estimates = [each for each in play(cars, lambda _: other) if each is not None]
    assert estimates
    slack = sum(abs(after - before) * GRID_TO_CAR_MS * (i + 1) / 2000
                for i, (_, before, after) in enumerate(ramps)) + 1  # fmt: skip
    for estimate in estimates:
        assert abs(estimate[0] - other) <= slack


def test_cars_that_fall_to_their_fail_safe_leave_no_phantom_room():
    cars = [ramp(5_000, 26_000, 6_000), ramp(5_000, 26_000, 6_000)]
    lowest = min(each[0] for each in play(cars, lambda _: 10_000) if each is not None)
    assert lowest >= 8_500


def test_a_load_that_is_switched_on_counts_within_three_readings():
    estimates = play([lambda _: 10_000], lambda now: 30_000 if now >= 8_000 else 5_000)
    assert estimates[7][0] == 5_000
    assert estimates[10][0] == 30_000


def test_a_connector_that_is_not_read_counts_as_other_load():
    estimates = play([lambda _: 20_000], lambda _: 5_000, read_cars=False)
    assert estimates[-1] == (25_000, 25_000, 25_000)


def test_a_silent_grid_meter_is_unknown_after_five_seconds():
    estimator = SupplyEstimator("grid")
    estimator.observe(grid(1_000, 9_000), [])
    assert estimator.other_load_ma(6_000) == (9_000, 9_000, 9_000)
    assert estimator.other_load_ma(6_001) is None


def test_without_a_grid_meter_nothing_is_known():
    estimator = SupplyEstimator(None)
    assert not estimator.metered
    assert estimator.other_load_ma(0) is None
