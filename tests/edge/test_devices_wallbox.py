"""The wallbox driver in virtual time: grants, proofs, watchdog and restarts."""

from __future__ import annotations

import itertools

import pytest
from devices_rig import Registers, TurnedClock, device, profile, run_for, target, wallbox_model
from hypothesis import given, settings
from hypothesis import strategies as st

from baywatt_contract.observations import (
    ConnectorObserved,
    FaultCode,
    LinkChanged,
    MeterReading,
    Observation,
    Pilot,
)
from baywatt_contract.site_file import Connector
from baywatt_edge.devices.drivers.wallbox import WallboxDriver
from baywatt_edge.devices.profile import Profile
from baywatt_sim.wire.pdu import ModbusFault

LIMIT, LOCK, FAIL_SAFE, WATCHDOG, STANDBY = 261, 259, 262, 257, 258
CONNECTOR = Connector(
    id=1, station="S", evse=1, plug="type2-cable", control="box", max_a=16, phases=[1, 2, 3]
)


def box(fail_safe_ma: int = 6000, made: Profile | None = None) -> WallboxDriver:
    made = made or profile("heidelberg-energy-control")
    return WallboxDriver(device("box", 3, made.id), made, CONNECTOR, fail_safe_ma)


def written(model: Registers, address: int) -> list[int]:
    return [values[0] for at, values in model.writes if at == address]


def observed(out: list[Observation]) -> list[ConnectorObserved]:
    return [each for each in out if isinstance(each, ConnectorObserved)]


def keep_granting(
    driver: WallboxDriver, model: Registers | None, clock: TurnedClock, ms: int, **change: object
) -> list[Observation]:
    out: list[Observation] = []
    for _ in range(ms // 1000):
        driver.control(target(clock.mono_ms, **change))
        out += run_for(driver, model, clock, 1000)
    return out


def test_on_connect_watchdog_fail_safe_and_standby_are_set_and_proven() -> None:
    model, clock, driver = wallbox_model(), TurnedClock(), box()
    run_for(driver, model, clock, 5000)
    assert model.tables[_holding(model)][WATCHDOG] == 15_000
    assert written(model, STANDBY) == [4]
    assert written(model, FAIL_SAFE) == [60]
    assert written(model, WATCHDOG) == []  # held it already: not written


def _holding(model: Registers) -> object:
    return next(space for space in model.tables if space.value == "holding registers")


def test_a_restart_does_not_touch_a_running_charge_before_the_first_target() -> None:
    model, clock, driver = wallbox_model(state=7), TurnedClock(), box()
    out = observed(run_for(driver, model, clock, 55_000))
    assert written(model, LIMIT) == []
    assert written(model, LOCK) == []
    last = out[-1]
    assert (last.pilot, last.contactor_closed, last.offered_ma) == (Pilot.C, True, 16_000)
    assert not last.host_lost


def test_without_any_target_for_a_minute_the_fail_safe_applies() -> None:
    model, clock, driver = wallbox_model(state=7), TurnedClock(), box()
    out = observed(run_for(driver, model, clock, 63_000))
    assert written(model, LIMIT) == [60]
    assert out[-1].host_lost
    assert out[-1].offered_ma == 6000


def test_a_limit_is_written_once_and_read_back() -> None:
    model, clock, driver = wallbox_model(state=5), TurnedClock(), box()
    out = observed(keep_granting(driver, model, clock, 20_000, limit_ma=10_400))
    assert written(model, LIMIT) == [104]
    assert out[-1].offered_ma == 10_400


@pytest.mark.parametrize(
    ("limit_ma", "raw"),
    [(16_000, 160), (32_000, 160), (6_000, 60), (5_999, 0), (0, 0), (10_050, 100)],
)
def test_limits_are_capped_and_never_rounded_up(limit_ma: int, raw: int) -> None:
    model, clock, driver = wallbox_model(state=5), TurnedClock(), box()
    model.tables[_holding(model)][LIMIT] = 77
    keep_granting(driver, model, clock, 3000, limit_ma=limit_ma)
    assert written(model, LIMIT) == [raw]


def test_without_permission_nothing_is_offered() -> None:
    model, clock, driver = wallbox_model(state=5), TurnedClock(), box()
    keep_granting(driver, model, clock, 3000, permit=False)
    assert written(model, LIMIT) == [0]
    assert model.tables[_holding(model)][LOCK] == 1


def test_out_of_service_locks_the_box() -> None:
    model, clock, driver = wallbox_model(), TurnedClock(), box()
    keep_granting(driver, model, clock, 3000, available=False)
    assert model.tables[_holding(model)][LOCK] == 0
    keep_granting(driver, model, clock, 3000)
    assert model.tables[_holding(model)][LOCK] == 1


def test_lowering_goes_first_and_raising_only_after_the_fail_safe_is_proven() -> None:
    model, clock, driver = wallbox_model(state=7), TurnedClock(), box()
    model.tables[_holding(model)][LIMIT] = 160
    keep_granting(driver, model, clock, 3000, limit_ma=8000)
    assert model.writes[0] == (LIMIT, (80,))
    model, driver = wallbox_model(state=7), box()
    model.tables[_holding(model)][LIMIT] = 60
    keep_granting(driver, model, clock, 3000)
    assert [address for address, _ in model.writes] == [FAIL_SAFE, STANDBY, LIMIT]


def test_when_the_grant_runs_out_the_fail_safe_is_written_and_polling_goes_on() -> None:
    model, clock, driver = wallbox_model(state=7), TurnedClock(), box()
    keep_granting(driver, model, clock, 3000)
    out = observed(run_for(driver, model, clock, 20_000))
    assert written(model, LIMIT) == [60]  # it held 160 already
    assert out[-1].host_lost
    assert out[-1].offered_ma == 6000
    assert not driver.silenced
    keep_granting(driver, model, clock, 3000)
    assert written(model, LIMIT) == [60, 160]


def test_an_unconfirmed_fail_safe_stops_all_traffic_until_the_next_grant() -> None:
    model, clock, driver = wallbox_model(state=7), TurnedClock(), box()
    keep_granting(driver, model, clock, 3000)
    out = run_for(driver, None, clock, 14_000)
    assert driver.silenced
    downs = [each for each in out if isinstance(each, LinkChanged) and not each.up]
    assert len(downs) == 1
    assert "its own watchdog acts within 15 s" in driver.detail
    before = len(model.reads)
    run_for(driver, model, clock, 60_000)
    assert len(model.reads) == before, "any request would feed the watchdog"
    keep_granting(driver, model, clock, 3000)
    assert len(model.reads) > before
    assert not driver.silenced


def test_a_box_that_ignores_the_fail_safe_is_left_to_its_watchdog() -> None:
    model, clock, driver = wallbox_model(state=7), TurnedClock(), box()
    keep_granting(driver, model, clock, 3000)
    model.write = lambda space, address, values: None  # type: ignore[method-assign]
    run_for(driver, model, clock, 14_000)
    assert driver.silenced


def test_a_box_that_does_not_take_a_limit_is_a_fault_of_the_controller() -> None:
    model, clock, driver = wallbox_model(state=5), TurnedClock(), box()
    model.tables[_holding(model)][LIMIT] = 60

    def refuse(space: object, address: int, values: object) -> None:
        raise ModbusFault(4)

    model.write = refuse  # type: ignore[method-assign]
    out = observed(keep_granting(driver, model, clock, 8000))
    assert FaultCode.CONTROLLER in out[-1].faults
    assert out[-1].offered_ma == 6000
    assert "does not take" in driver.detail


def test_a_box_that_was_restarted_gets_its_settings_again() -> None:
    model, clock, driver = wallbox_model(state=5), TurnedClock(), box()
    keep_granting(driver, model, clock, 3000, limit_ma=8000)
    model.tables[_holding(model)].update({LIMIT: 160, STANDBY: 0, FAIL_SAFE: 0})
    keep_granting(driver, model, clock, 35_000, limit_ma=8000)
    held = model.tables[_holding(model)]
    assert (held[LIMIT], held[STANDBY], held[FAIL_SAFE]) == (80, 4, 60)


def test_it_is_told_at_least_every_second_and_at_once_on_change() -> None:
    model, clock, driver = wallbox_model(state=2), TurnedClock(), box()
    out = observed(keep_granting(driver, model, clock, 10_000, permit=False))
    gaps = [b.observed_at.mono_ms - a.observed_at.mono_ms for a, b in itertools.pairwise(out)]
    assert max(gaps) <= 1100
    inputs = next(t for s, t in model.tables.items() if s.value == "input registers")
    inputs[5] = 4
    changed_at = clock.mono_ms
    out = observed(keep_granting(driver, model, clock, 1000, permit=False))
    assert out[0].pilot is Pilot.B
    assert out[0].observed_at.mono_ms - changed_at <= 600


@pytest.mark.parametrize(
    ("state", "pilot", "closed"),
    [
        (2, Pilot.A, False),
        (3, Pilot.A, False),
        (4, Pilot.B, False),
        (5, Pilot.B, False),
        (6, Pilot.C, False),
        (7, Pilot.C, True),
        (8, Pilot.C, True),
        (9, Pilot.E, False),
        (10, Pilot.F, False),
        (99, Pilot.F, True),
    ],
)
def test_the_state_map(state: int, pilot: Pilot, closed: bool) -> None:
    model, clock, driver = wallbox_model(state=state), TurnedClock(), box()
    (first, *_) = observed(run_for(driver, model, clock, 3000))
    assert (first.pilot, first.contactor_closed) == (pilot, closed)
    assert first.locked is None


def test_it_also_measures() -> None:
    model, clock, driver = wallbox_model(state=7), TurnedClock(), box()
    out = run_for(driver, model, clock, 3000)
    reading = next(each for each in out if isinstance(each, MeterReading))
    assert reading.energy_wh is None, "apparent energy is nothing to bill by"
    assert reading.current_ma == (0, 0, 0)


def _with_feed(feed: str) -> Profile:
    made = profile("heidelberg-energy-control")
    feed_register = "standby" if feed == "register" else None
    dog = made.wallbox.watchdog.model_copy(
        update={"feed": feed, "feed_register": feed_register, "feed_value": 4}
    )
    return made.model_copy(update={"wallbox": made.wallbox.model_copy(update={"watchdog": dog})})


@pytest.mark.parametrize(("feed", "address"), [("limit-write", LIMIT), ("register", STANDBY)])
def test_a_watchdog_that_only_writes_feed_is_fed_while_the_grant_lives(
    feed: str, address: int
) -> None:
    model, clock, driver = wallbox_model(state=7), TurnedClock(), box(made=_with_feed(feed))
    keep_granting(driver, model, clock, 30_000)
    assert 5 <= len(written(model, address)) <= 8
    run_for(driver, model, clock, 11_000)
    before = len(written(model, address))
    run_for(driver, model, clock, 20_000)
    assert len(written(model, address)) <= before + 1, "never fed without a grant"


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 20_000),  # limit
            st.booleans(),  # permit
            st.integers(0, 12_000),  # time to live
            st.integers(0, 15_000),  # until the next event
            st.booleans(),  # the box answers
        ),
        max_size=8,
    )
)
def test_never_more_than_granted_is_written(
    course: list[tuple[int, bool, int, int, bool]],
) -> None:
    """Whatever happens: no limit above the newest target, and above the fail-safe no late one."""
    model, clock, driver = wallbox_model(state=7), TurnedClock(), box()
    allowed = [160]
    plain = model.write

    def write(space: object, address: int, values: list[int]) -> None:
        if address == LIMIT:
            assert values[0] <= allowed[0]
        plain(space, address, values)

    model.write = write  # type: ignore[method-assign]
    for limit_ma, permit, ttl_ms, wait_ms, answers in course:
        expires = clock.mono_ms + ttl_ms
        driver.control(
            target(clock.mono_ms, limit_ma=limit_ma, permit=permit, grant_expires_mono_ms=expires)
        )
        granted = min(limit_ma // 100, 160) if permit else 0
        end = clock.mono_ms + wait_ms
        while clock.mono_ms < end:
            expired = clock.mono_ms >= expires
            allowed[0] = min(granted, 60) if expired else granted
            run_for(driver, model if answers else None, clock, 100, step=100)
