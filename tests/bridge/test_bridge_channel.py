"""What a channel does in normal operation and on faults (PROTOCOL.md, sections 6 and 9)."""

from __future__ import annotations

import pytest

from baywatt_bridge.host import Target
from baywatt_bridge.host_events import LatchAnswered
from baywatt_bridge.vocabulary import LATCHING, ChannelKind, Fault, Lock, Result
from baywatt_contract.observations import FaultCode, Pilot

LATCHING_CODES = [
    FaultCode.RESIDUAL_CURRENT,
    FaultCode.CONTACTOR_WELDED,
    FaultCode.OVER_TEMPERATURE,
    FaultCode.PILOT_SHORT,
    FaultCode.EMERGENCY_STOP,
    FaultCode.SELF_TEST_FAILED,
]
PASSING_CODES = [FaultCode.LOCK_FAILED, FaultCode.OVER_CURRENT, FaultCode.CONTROLLER]


def test_iec_sequence_4_the_contactor_closes_within_three_seconds_of_c(bench) -> None:
    bench.board.set_pilot(1, Pilot.B)
    bench.allow(16_000)
    bench.run(1_000)
    assert not bench.board.contactor_closed(1)
    assert bench.board.locked(1)
    bench.board.set_pilot(1, Pilot.C)
    assert bench.until(lambda: bench.board.contactor_closed(1)) <= 3_000


@pytest.mark.parametrize("after", [Pilot.A, Pilot.B, Pilot.D, Pilot.E])
def test_iec_sequence_8_1_the_contactor_opens_within_100_ms_of_leaving_c(
    bench, after: Pilot
) -> None:
    bench.charge()
    bench.board.set_pilot(1, after)
    assert bench.until(lambda: not bench.board.contactor_closed(1)) <= 100


def test_no_permit_no_contactor_whatever_the_vehicle_asks(bench) -> None:
    bench.board.set_pilot(1, Pilot.C)
    bench.allow(permit=False)
    bench.run(5_000)
    assert not bench.board.contactor_closed(1)
    assert bench.board.offered_ma(1) == 0
    assert not bench.board.locked(1)


@pytest.mark.parametrize(("limit_ma", "offered_ma"), [(5_999, 0), (6_000, 6_000), (99_000, 32_000)])
def test_the_pilot_offers_nothing_below_six_amps_and_no_more_than_the_rating(
    bench, limit_ma: int, offered_ma: int
) -> None:
    bench.board.set_pilot(1, Pilot.B)
    bench.allow(limit_ma)
    bench.run(1_000)
    assert bench.board.offered_ma(1) == offered_ma


def test_a_thin_cable_limits_the_offer(bench) -> None:
    bench.board.set_cable(1, 13_000)
    bench.charge(limit_ma=32_000)
    assert bench.board.offered_ma(1) == 13_000
    assert bench.report().cable_max_ma == 13_000


def test_an_offer_falls_at_once_and_rises_at_most_every_five_seconds(bench) -> None:
    bench.charge(limit_ma=16_000)
    bench.run(6_000)
    bench.allow(limit_ma=8_000)
    assert bench.until(lambda: bench.board.offered_ma(1) == 8_000) <= 100
    bench.allow(limit_ma=20_000)
    took_ms = bench.until(lambda: bench.board.offered_ma(1) == 20_000)
    assert 4_900 <= took_ms <= 5_100


def test_iec_sequence_10_2_a_vehicle_that_ignores_x1_is_opened_under_load_after_six_seconds(
    bench,
) -> None:
    bench.charge()
    bench.allow(permit=False)
    bench.until(lambda: bench.board.offered_ma(1) == 0)
    assert bench.board.contactor_closed(1)
    took_ms = bench.until(lambda: not bench.board.contactor_closed(1))
    assert 5_900 <= took_ms <= 6_100


def test_a_board_that_measures_opens_when_the_vehicle_has_stopped_drawing(bench) -> None:
    bench.charge()
    bench.board.set_current_ma(1, 16_000)
    bench.allow(permit=False)
    bench.run(1_000)
    assert bench.board.contactor_closed(1)
    bench.board.set_current_ma(1, 200)
    assert not bench.board.contactor_closed(1)
    assert not bench.board.locked(1)


def test_state_d_needs_ventilation(bench) -> None:
    bench.board.set_pilot(1, Pilot.D)
    bench.allow()
    bench.run(4_000)
    assert not bench.board.contactor_closed(1)
    assert bench.report().faults == Fault.VENTILATION
    bench.board.set_pilot(1, Pilot.C)
    bench.until(lambda: bench.board.contactor_closed(1))


def test_out_of_service_shows_f_once_the_contactor_is_open(bench) -> None:
    bench.charge()
    bench.board.set_current_ma(1, 16_000)
    bench.host.set_target(Target(1, permit=True, limit_ma=16_000, available=False))
    bench.run(500)
    assert (bench.board.pilot(1), bench.board.contactor_closed(1)) == (Pilot.C, True)
    bench.board.set_current_ma(1, 0)
    assert (bench.board.pilot(1), bench.board.contactor_closed(1)) == (Pilot.F, False)
    bench.allow()
    bench.until(lambda: bench.board.contactor_closed(1))


def test_phases_are_taken_over_when_the_contactor_closes(bench) -> None:
    bench.charge()
    bench.host.set_target(Target(1, permit=True, limit_ma=16_000, phases=1))
    bench.run(1_000)
    assert bench.board.phases(1) == 3
    bench.board.set_pilot(1, Pilot.B)
    bench.run(100)
    bench.board.set_pilot(1, Pilot.C)
    bench.until(lambda: bench.board.contactor_closed(1))
    assert bench.board.phases(1) == 1


# --- lock -----------------------------------------------------------------------------------


def test_unlock_releases_the_plug_once_and_the_contactor_stays_open(bench) -> None:
    bench.board.set_pilot(1, Pilot.B)
    bench.allow()
    bench.until(lambda: bench.board.locked(1))
    bench.host.unlock(1)
    bench.until(lambda: not bench.board.locked(1))
    bench.board.set_pilot(1, Pilot.C)
    bench.run(5_000)
    assert not bench.board.contactor_closed(1)
    bench.board.set_pilot(1, Pilot.A)
    bench.board.set_pilot(1, Pilot.B)
    bench.until(lambda: bench.board.locked(1))


def test_unlock_has_no_effect_on_a_closed_contactor(bench) -> None:
    bench.charge()
    bench.host.unlock(1)
    bench.run(1_000)
    assert bench.board.locked(1)
    assert bench.board.contactor_closed(1)


def test_an_unlock_of_an_old_session_is_not_repeated_in_a_new_one(bench) -> None:
    bench.board.set_pilot(1, Pilot.B)
    bench.allow()
    bench.until(lambda: bench.board.locked(1))
    bench.host.unlock(1)
    bench.until(lambda: not bench.board.locked(1))
    bench.board.set_pilot(1, Pilot.A)
    bench.board.set_pilot(1, Pilot.B)
    bench.until(lambda: bench.board.locked(1))
    bench.events += bench.host.reset(bench.now_ms, "test")
    for _ in range(200):
        bench.tick()
        assert bench.board.locked(1)


@pytest.mark.parametrize("kind", [ChannelKind.AC_CABLE, ChannelKind.DC])
def test_a_fixed_cable_has_no_lock(new_bench, kind: ChannelKind) -> None:
    bench = new_bench(kind)
    bench.charge(limit_ma=32_000)
    bench.run(200)
    assert bench.report().lock is Lock.NONE
    assert bench.report().cable_max_ma == 0


def test_a_lock_that_fails_keeps_the_contactor_open(bench) -> None:
    bench.board.set_fault(1, FaultCode.LOCK_FAILED, active=True)
    bench.board.set_pilot(1, Pilot.C)
    bench.allow()
    bench.run(5_000)
    assert not bench.board.contactor_closed(1)
    assert bench.report().lock is Lock.FAILED
    assert bench.report().latched == Fault(0)
    bench.board.set_fault(1, FaultCode.LOCK_FAILED, active=False)
    bench.until(lambda: bench.board.contactor_closed(1))


# --- faults ---------------------------------------------------------------------------------


@pytest.mark.parametrize("code", LATCHING_CODES)
def test_the_six_serious_faults_open_and_latch_until_a_person_clears_them(
    bench, code: FaultCode
) -> None:
    bench.charge()
    bench.board.set_fault(1, code, active=True)
    if code is FaultCode.CONTACTOR_WELDED:
        bench.board.set_pilot(1, Pilot.B)
        bench.run(1_000)
    assert not bench.board._core.channels[1].coil
    bench.board.set_fault(1, code, active=False)
    bench.board.set_pilot(1, Pilot.C)
    bench.run(20_000)
    assert not bench.board.contactor_closed(1)
    assert bench.board.pilot(1) is Pilot.F
    assert bench.board.faults(1) == {code}
    assert not bench.board.locked(1)
    bench.host.clear_latch(1, LATCHING)
    bench.until(lambda: bench.board.contactor_closed(1))
    assert bench.named(LatchAnswered) == [LatchAnswered(1, Result.DONE, Fault(0))]


@pytest.mark.parametrize("code", LATCHING_CODES)
def test_a_latch_is_not_cleared_while_its_cause_is_present(bench, code: FaultCode) -> None:
    bench.allow()
    bench.board.set_fault(1, code, active=True)
    bench.run(1_000)
    bench.host.clear_latch(1, LATCHING)
    bench.run(500)
    (answer,) = bench.named(LatchAnswered)
    assert answer.result is Result.CAUSE_PRESENT
    assert bench.board.faults(1) == {code}


@pytest.mark.parametrize("code", PASSING_CODES)
def test_other_faults_block_only_while_they_last(bench, code: FaultCode) -> None:
    bench.charge()
    bench.board.set_fault(1, code, active=True)
    assert not bench.board.contactor_closed(1)
    bench.run(1_000)
    bench.board.set_fault(1, code, active=False)
    bench.until(lambda: bench.board.contactor_closed(1))
    assert bench.board.faults(1) == frozenset()


def test_a_fault_on_one_channel_leaves_the_other_alone(bench) -> None:
    bench.charge(channel=1)
    bench.charge(channel=2)
    bench.board.set_fault(1, FaultCode.RESIDUAL_CURRENT, active=True)
    bench.run(2_000)
    assert not bench.board.contactor_closed(1)
    assert bench.board.contactor_closed(2)


def test_a_shorted_pilot_latches_after_half_a_second_only(bench) -> None:
    bench.allow()
    bench.board.set_pilot(1, Pilot.E)
    bench.run(400)
    bench.board.set_pilot(1, Pilot.B)
    bench.run(1_000)
    assert bench.board.faults(1) == frozenset()
    bench.board.set_pilot(1, Pilot.E)
    bench.run(600)
    assert bench.board.faults(1) == {FaultCode.PILOT_SHORT}
    assert bench.board.pilot(1) is Pilot.F


def test_a_weld_shows_when_the_contactor_should_be_open(bench) -> None:
    bench.charge()
    bench.board.set_fault(1, FaultCode.CONTACTOR_WELDED, active=True)
    bench.run(2_000)
    assert bench.board.faults(1) == frozenset()  # nobody can know yet
    bench.board.set_pilot(1, Pilot.B)
    bench.run(600)
    assert bench.board.faults(1) == {FaultCode.CONTACTOR_WELDED}
    assert bench.board.contactor_closed(1)
    assert bench.report().contactor_closed is True


def test_a_late_copy_of_clear_latch_does_not_clear_a_newer_fault(bench) -> None:
    bench.allow()
    bench.board.set_fault(1, FaultCode.RESIDUAL_CURRENT, active=True)
    bench.run(500)
    bench.board.set_fault(1, FaultCode.RESIDUAL_CURRENT, active=False)
    bench.host.clear_latch(1, LATCHING)
    late = bench.host.data_to_send(bench.now_ms)
    bench.down.send(late, bench.now_ms)
    bench.until(lambda: bench.board.faults(1) == frozenset())
    bench.board.set_fault(1, FaultCode.RESIDUAL_CURRENT, active=True)
    bench.board.set_fault(1, FaultCode.RESIDUAL_CURRENT, active=False)
    bench.down.send(late, bench.now_ms)
    bench.run(1_000)
    assert bench.board.faults(1) == {FaultCode.RESIDUAL_CURRENT}


def test_a_power_cycle_forgets_a_latch_whose_cause_is_gone(bench) -> None:
    bench.allow()
    for channel in (1, 2):
        bench.board.set_fault(channel, FaultCode.OVER_TEMPERATURE, active=True)
    bench.board.set_fault(1, FaultCode.OVER_TEMPERATURE, active=False)
    bench.board.power_cycle()
    bench.run(1_000)
    assert bench.board.faults(1) == frozenset()
    assert bench.board.faults(2) == {FaultCode.OVER_TEMPERATURE}


def test_a_board_without_power_is_silent_and_open(bench) -> None:
    bench.charge()
    bench.board.power(on=False)
    assert not bench.board.contactor_closed(1)
    assert (bench.board.offered_ma(1), bench.board.locked(1)) == (0, False)
    bench.run(2_000)
    assert bench.board.data_to_send() == b""
    bench.board.power(on=True)
    bench.until(lambda: bench.board.contactor_closed(1))
