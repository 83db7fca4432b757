"""Meter and bay drivers in virtual time."""

from __future__ import annotations

import itertools

from devices_rig import Registers, TurnedClock, ask, device, meter_model, profile, run_for
from hypothesis import given, settings
from hypothesis import strategies as st

from baywatt_contract.observations import (
    BayObserved,
    BayState,
    LinkChanged,
    MeterReading,
    Quality,
    Quantity,
)
from baywatt_edge.devices.drivers.bay import BayDriver, BaySense
from baywatt_edge.devices.drivers.meter import MeterDriver
from baywatt_edge.devices.profile import BaySensing
from baywatt_edge.devices.schedule import Priority


def readings(out: list[object]) -> list[MeterReading]:
    return [each for each in out if isinstance(each, MeterReading)]


def test_a_meter_is_polled_once_a_second() -> None:
    clock = TurnedClock()
    meter = MeterDriver(device("grid"), profile("eastron-sdm630"))
    out = readings(run_for(meter, meter_model(), clock, 10_000))
    assert len(out) == 10
    steps = {b.measured_at.mono_ms - a.measured_at.mono_ms for a, b in itertools.pairwise(out)}
    assert steps == {1000}


def test_a_demand_is_urgent_and_each_asker_gets_the_reading_with_his_tag() -> None:
    clock = TurnedClock()
    meter = MeterDriver(device("grid"), profile("eastron-sdm630"))
    run_for(meter, meter_model(), clock, 500)
    meter.read("a", clock.now())
    meter.read("b", clock.now())
    want = meter.want(clock.now())
    assert (want.priority, want.at_ms) == (Priority.DEMAND, clock.mono_ms)
    out = readings(ask(meter, meter_model(), clock))
    assert [reading.requested_by for reading in out] == ["a", "b"]
    assert {reading.measured_at.mono_ms for reading in out} == {clock.mono_ms}


def test_a_demand_made_while_a_poll_is_under_way_gets_a_reading_of_its_own() -> None:
    clock = TurnedClock()
    meter = MeterDriver(device("grid"), profile("eastron-sdm630"))
    model = meter_model()
    meter.request(clock.now())
    meter.read("late", clock.turn(10))
    words = tuple(model.read(next(iter(model.tables)).INPUT, 0, 76))
    assert [r.requested_by for r in readings(meter.answered(words, clock.now()))] == [""]
    assert [r.requested_by for r in readings(ask(meter, model, clock))] == ["late"]


def test_a_routine_poll_of_several_blocks_gives_way_to_a_demand() -> None:
    clock = TurnedClock()
    meter = MeterDriver(device("grid"), profile("eastron-sdm630", max_registers=20))
    model = meter_model()
    ask(meter, model, clock)
    meter.request(clock.turn(10))
    meter.read("now", clock.now())
    words = tuple(model.read(next(iter(model.tables)).INPUT, 52, 2))
    meter.answered(words, clock.now())
    out: list[MeterReading] = []
    started = clock.mono_ms
    while not out:
        out = readings(ask(meter, model, clock))
        clock.turn(20)
    assert out[0].requested_by == "now"
    assert out[0].measured_at.mono_ms == started
    assert out[0].quality is Quality.GOOD


def test_a_failed_demand_is_tried_again_and_given_up_after_five_seconds() -> None:
    clock = TurnedClock()
    meter = MeterDriver(device("grid"), profile("eastron-sdm630"))
    meter.read("begin", clock.now())
    asked = clock.mono_ms
    out = readings(run_for(meter, None, clock, 6000))
    assert [(r.requested_by, r.quality) for r in out] == [("begin", Quality.INVALID)]
    assert 5000 <= out[0].measured_at.mono_ms - asked <= 5100
    meter.read("again", clock.now())
    assert readings(ask(meter, meter_model(), clock))[0].quality is Quality.GOOD


def test_no_more_than_64_demands_wait_and_none_is_forgotten() -> None:
    clock = TurnedClock()
    meter = MeterDriver(device("grid"), profile("eastron-sdm630"))
    dropped = [r for i in range(70) for r in readings(list(meter.read(str(i), clock.now())))]
    assert [r.requested_by for r in dropped] == [str(i) for i in range(6)]
    assert len(readings(ask(meter, meter_model(), clock))) == 64


def test_a_nan_makes_the_reading_invalid_and_is_named() -> None:
    clock = TurnedClock()
    meter = MeterDriver(device("grid"), profile("eastron-sdm630"))
    model = meter_model()
    model.set_float(72, float("nan"))
    (reading,) = readings(ask(meter, model, clock))
    assert reading.quality is Quality.INVALID
    assert reading.energy_wh is None
    assert reading.power_w == 6900
    assert "energy_import" in meter.detail


def test_the_link_is_up_with_the_first_answer_and_down_after_three_misses() -> None:
    clock = TurnedClock()
    meter = MeterDriver(device("grid"), profile("eastron-sdm630", interval_ms=0))
    up = [o for o in run_for(meter, meter_model(), clock, 200) if isinstance(o, LinkChanged)]
    assert [change.up for change in up] == [True]
    assert not [o for o in run_for(meter, None, clock, 100) if isinstance(o, LinkChanged)]
    down = [o for o in run_for(meter, None, clock, 500) if isinstance(o, LinkChanged)]
    assert [change.up for change in down] == [False]


def bay_model(distance_cm: int) -> Registers:
    return Registers(dict.fromkeys(range(9), 0) | {5: distance_cm, 6: 205}, {})


def bay_driver() -> BayDriver:
    return BayDriver(device("s", 1, "dfrobot-urm14"), profile("dfrobot-urm14"), ["A1"])


def states(out: list[object]) -> list[BayState]:
    return [each.state for each in out if isinstance(each, BayObserved)]


def test_a_car_is_seen_after_the_debounce_and_only_told_once() -> None:
    clock, sensor = TurnedClock(), bay_driver()
    assert states(run_for(sensor, bay_model(250), clock, 3000)) == [BayState.VACANT]
    arrived = clock.mono_ms
    out = run_for(sensor, bay_model(60), clock, 5000)
    assert states(out) == [BayState.OCCUPIED]
    (seen,) = [each for each in out if isinstance(each, BayObserved)]
    assert seen.bay_id == "A1"
    assert 1000 <= seen.observed_at.mono_ms - arrived <= 2100


def test_someone_who_walks_through_is_no_car() -> None:
    clock, sensor = TurnedClock(), bay_driver()
    run_for(sensor, bay_model(250), clock, 3000)
    assert states(run_for(sensor, bay_model(60), clock, 1000)) == []
    assert states(run_for(sensor, bay_model(250), clock, 5000)) == []


def test_between_the_thresholds_nothing_changes() -> None:
    clock, sensor = TurnedClock(), bay_driver()
    run_for(sensor, bay_model(60), clock, 3000)
    assert states(run_for(sensor, bay_model(160), clock, 5000)) == []


def test_silence_makes_the_bay_unknown_after_ten_seconds() -> None:
    clock, sensor = TurnedClock(), bay_driver()
    run_for(sensor, bay_model(250), clock, 1000)
    assert states(run_for(sensor, None, clock, 9000)) == []
    assert states(run_for(sensor, None, clock, 2000)) == [BayState.UNKNOWN]
    assert states(run_for(sensor, bay_model(250), clock, 1000)) == [BayState.VACANT]


def test_a_sensor_that_hears_no_echo_is_a_fault_never_vacant() -> None:
    clock, sensor = TurnedClock(), bay_driver()
    run_for(sensor, bay_model(250), clock, 1000)
    assert states(run_for(sensor, bay_model(0xFFFF), clock, 5000)) == [BayState.FAULT]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 3000), st.none() | st.integers(0, 5000)), min_size=1, max_size=80
    )
)
def test_a_bay_is_never_called_vacant_without_a_far_measurement(
    course: list[tuple[int, int | None]],
) -> None:
    sensing = BaySensing(occupied_below_mm=1500, vacant_above_mm=1700)
    sense, now, last_far = BaySense(sensing), 0, None
    for step, distance in course:
        now += step
        sense.aged(now)
        sense.measured(distance, now)
        if distance is not None and distance > 1700:
            last_far = now
        if sense.state is BayState.VACANT:
            assert last_far is not None
        assert sense.aged(now) is False


def test_the_units_of_a_bay_sensor() -> None:
    clock, sensor = TurnedClock(), bay_driver()
    run_for(sensor, bay_model(123), clock, 100)
    assert sensor.last[str(Quantity.DISTANCE_MM)] == 1230
