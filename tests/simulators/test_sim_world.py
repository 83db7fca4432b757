"""The physical truth under hypothesis: energy, offers, conservation."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baywatt_sim.vehicle import Vehicle
from baywatt_sim.world import STEP_S, DcSource, Outlet, World

# IEC 61851-1 Annex A allows 5 s; the simulated car promises 2 s.
REACTION_S = 2.0
ROTATIONS = [(1, 2, 3), (2, 3, 1), (3, 1, 2)]

offers = st.sampled_from([0.0, 5.9, 6.0, 10.0, 16.0, 32.0])
cars = st.builds(
    Vehicle,
    soc=st.floats(0, 1),
    max_current_a=st.sampled_from([6.0, 13.0, 16.0, 32.0]),
    phases=st.integers(1, 3),
    ready=st.booleans(),
)
moves = st.lists(
    st.tuples(st.integers(0, 2), offers, st.booleans(), st.integers(1, 60)), min_size=1, max_size=20
)


def site() -> World:
    return World([Outlet(i, phases) for i, phases in enumerate(ROTATIONS)], ["A1"], 0.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(cars, min_size=3, max_size=3), moves)
def test_energy_is_the_integral_of_power_and_currents_add_up(
    parked: list[Vehicle], script: list[tuple[int, float, bool, int]]
) -> None:
    world = site()
    world.other_load_a = [1.0, 2.0, 3.0]
    integral = dict.fromkeys(world.outlets, 0.0)
    for outlet, car in zip(world.outlets.values(), parked, strict=True):
        outlet.vehicle = car
    for target, offered, closed, steps in script:
        outlet = world.outlets[target]
        outlet.offered_a, outlet.contactor_closed = offered, closed
        world.switched(outlet)
        for _ in range(steps):
            world.step(STEP_S)
            for key, each in world.outlets.items():
                integral[key] += each.power_w * STEP_S / 3600
                assert each.contactor_closed or not any(each.current_a)
            drawn = sum(sum(each.current_a) for each in world.outlets.values())
            assert sum(world.supply_current_a) - 6.0 == pytest.approx(drawn)
    for key, each in world.outlets.items():
        assert each.energy_wh == pytest.approx(integral[key])
        assert each.energy_wh == pytest.approx(sum(each.phase_wh))
    assert sum(world.supply_wh) >= sum(integral.values())


@settings(max_examples=60, deadline=None)
@given(cars, st.lists(offers, min_size=1, max_size=8))
def test_a_car_never_draws_more_than_offered_once_it_had_time_to_react(
    car: Vehicle, script: list[float]
) -> None:
    outlet = Outlet(1, vehicle=car, contactor_closed=True)
    world = World([outlet], [], 0.0)
    for offered in script:
        outlet.offered_a = offered
        for _ in range(int(REACTION_S / STEP_S)):
            world.step(STEP_S)
        usable = offered if offered >= 6 else 0.0
        assert max(outlet.current_a) <= min(usable, car.max_current_a) + 1e-9


def test_a_willing_car_takes_what_is_offered_on_its_phases() -> None:
    outlet = Outlet(1, (2, 3, 1), vehicle=Vehicle(phases=2), contactor_closed=True)
    world = World([outlet], [], 0.0)
    outlet.offered_a = 16.0
    world.advance(5.0)
    assert outlet.current_a == [16.0, 16.0, 0.0]
    assert world.supply_current_a == [0.0, 16.0, 16.0]
    assert outlet.pilot.value == "C"


def test_a_full_battery_ends_the_charge_and_speed_scales_only_the_battery() -> None:
    outlet = Outlet(1, vehicle=Vehicle(capacity_wh=1000, soc=0.5), contactor_closed=True)
    world = World([outlet], [], 0.0)
    world.battery_speed = 100.0
    outlet.offered_a = 16.0
    for second in range(1, 60):
        world.advance(float(second))
    assert outlet.vehicle is not None
    assert outlet.vehicle.soc == 1.0
    assert outlet.pilot.value == "B"
    assert 5.0 < outlet.energy_wh < 20.0


def test_one_pole_feeds_one_phase() -> None:
    outlet = Outlet(1, vehicle=Vehicle(), contactor_closed=True, poles=1, offered_a=16.0)
    world = World([outlet], [], 0.0)
    world.advance(5.0)
    assert outlet.current_a == [16.0, 0.0, 0.0]


def test_a_dc_source_ramps_limits_and_takes_its_losses_from_the_grid() -> None:
    source = DcSource(max_w=20_000)
    outlet = Outlet(1, sources=[source], vehicle=Vehicle(max_current_a=125), contactor_closed=True)
    world = World([outlet], [], 0.0)
    source.on, source.set_v, source.set_a = True, 450.0, 80.0
    world.advance(3.0)
    assert (source.volts, source.amps) == (400.0, 50.0)
    assert outlet.power_w == pytest.approx(20_000)
    assert sum(outlet.phase_wh) > outlet.energy_wh > 0
    source.on = False
    world.advance(5.0)
    assert (source.volts, source.amps) == (0.0, 0.0)


def test_a_host_that_slept_is_not_billed() -> None:
    outlet = Outlet(1, vehicle=Vehicle(), contactor_closed=True, offered_a=16.0)
    world = World([outlet], [], 0.0)
    world.advance(5.0)
    before = outlet.energy_wh
    world.advance(3600.0)
    assert outlet.energy_wh - before < 20.0
