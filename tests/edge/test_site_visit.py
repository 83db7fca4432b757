"""A visit from swipe to unplugging, and everything that can come between."""

from __future__ import annotations

import pytest
from site_bench import SiteBench

from baywatt_contract import events as ev
from baywatt_contract.clock import format_utc_ms
from baywatt_contract.events import Authority, ConnectorStatus, StartSource, StopReason
from baywatt_contract.messages import ReservationItem, TokenItem, token_hash
from baywatt_contract.observations import BayState, FaultCode
from baywatt_contract.wishes import (
    AvailabilityWish,
    LimitWish,
    ReservationsHeld,
    ResetWish,
    StartWish,
    StopWish,
    TokensKnown,
    UnlockWish,
)
from baywatt_edge.site import StorageChanged


@pytest.fixture
def bench(harbour):
    return SiteBench(harbour)


def start_wish(connector=1, wish_id="w1", token="BW00000000000001", authority=Authority.CLOUD):
    return StartWish(wish_id, connector, token, StartSource.CLOUD, authority)


def charge(bench, connector=1, seconds=60):
    bench.plug(connector)
    bench.swipe(connector)
    bench.advance(seconds)


def assert_enclosed(bench, connector=1):
    """The registers of the transaction enclose the physical energy within one step of 1 Wh."""
    (began,) = bench.events(ev.ChargingStarted)
    (ended,) = bench.events(ev.ChargingStopped)
    assert abs(ended.energy_wh - began.energy_wh - bench.plugs[connector].energy_wh) < 1


def test_a_card_starts_and_the_same_card_ends_a_session(bench):
    charge(bench)
    assert bench.status(1) is ConnectorStatus.CHARGING
    bench.swipe(1)
    bench.advance(3)
    assert bench.status(1) is ConnectorStatus.FINISHING
    bench.unplug(1)
    assert bench.status(1) is ConnectorStatus.AVAILABLE
    (stopped,) = bench.events(ev.ChargingStopped)
    assert stopped.reason is StopReason.LOCAL
    assert 59_000 <= stopped.duration_ms <= 62_000
    assert_enclosed(bench)
    assert len(bench.events(ev.SessionEnded)) == 1


def test_the_register_is_read_before_the_contactor_may_close(bench):
    bench.plug(1)
    bench.plugs[1].meter_up = False
    bench.swipe(1)
    bench.advance(5)
    assert not bench.plugs[1].closed
    assert not bench.events(ev.ChargingStarted)
    bench.plugs[1].meter_up = True
    bench.advance(5)
    assert bench.plugs[1].closed
    assert bench.events(ev.ChargingStarted)[0].energy_wh == 1_000_000


def test_without_a_meter_no_session_begins(bench):
    bench.plug(1)
    bench.plugs[1].meter_up = False
    bench.swipe(1)
    bench.advance(15)
    (ended,) = bench.events(ev.SessionEnded)
    assert "meter" in ended.reason
    assert bench.plugs[1].energy_wh == 0


def test_pulling_the_plug_ends_the_transaction_with_the_final_register(bench):
    charge(bench)
    bench.unplug(1)
    bench.advance(3)
    (stopped,) = bench.events(ev.ChargingStopped)
    assert (stopped.reason, stopped.estimated) == (StopReason.EV_DISCONNECTED, False)
    assert_enclosed(bench)
    assert bench.status(1) is ConnectorStatus.AVAILABLE


def test_a_meter_that_dies_ends_with_the_last_good_register(bench):
    charge(bench, seconds=65)
    last = bench.events(ev.MeterSampled)[-1].energy_wh
    bench.meter_link(1, up=False)
    bench.swipe(1)
    bench.advance(15)
    (stopped,) = bench.events(ev.ChargingStopped)
    assert stopped.estimated
    assert stopped.energy_wh == last


def test_a_register_that_runs_backwards_is_never_billed(bench):
    charge(bench, seconds=65)
    last = bench.events(ev.MeterSampled)[-1].energy_wh
    bench.plugs[1].register_base_wh = 0
    bench.advance(60)
    assert bench.events(ev.MeterSampled)[-1].energy_wh == last
    bench.swipe(1)
    bench.advance(15)
    assert bench.events(ev.ChargingStopped)[0].energy_wh == last


def test_nobody_plugs_in_within_the_connection_time_out(bench):
    bench.swipe(1)
    bench.advance(59)
    assert bench.state.connector(1).session is not None
    bench.advance(2)
    assert bench.state.connector(1).session is None
    assert bench.status(1) is ConnectorStatus.AVAILABLE


def test_a_kill_in_the_middle_goes_on_with_the_same_transaction(bench):
    charge(bench)
    before = bench.state.connector(1).session
    bench.kill()
    assert bench.plugs[1].closed
    bench.advance(30)
    assert bench.state.connector(1).session.id == before.id
    bench.swipe(1)
    bench.advance(3)
    assert_enclosed(bench)


def test_unplugged_while_the_daemon_was_dead(bench):
    charge(bench)
    bench.plugs[1].plugged = bench.plugs[1].closed = False
    bench.kill()
    bench.advance(3)
    assert bench.events(ev.ChargingStopped)[0].reason is StopReason.EV_DISCONNECTED
    assert_enclosed(bench)


def test_a_start_wish_said_twice_makes_one_session(bench):
    first = bench.feed(start_wish())
    again = bench.feed(start_wish())
    assert first.accepted
    assert again.session == first.session
    assert len(bench.events(ev.SessionAuthorised)) == 1


def test_a_stop_wish_said_twice_ends_one_session(bench):
    session = bench.feed(start_wish()).session
    bench.plug(1)
    bench.advance(5)
    stop = StopWish("w2", StartSource.CLOUD, session=session)
    assert bench.feed(stop).accepted
    bench.advance(3)
    bench.unplug(1)
    assert bench.feed(stop).accepted
    assert bench.feed(StopWish("w3", StartSource.CLOUD, session=session)).accepted is False
    assert len(bench.events(ev.ChargingStopped)) == 1


def test_the_csms_refuses_a_card(bench):
    bench.csms_says = False
    bench.plug(1)
    bench.swipe(1)
    (refused,) = bench.events(ev.SessionRefused)
    assert "not accepted" in refused.reason
    assert bench.status(1) is ConnectorStatus.PREPARING


def test_a_silent_csms_refuses_after_its_time(bench):
    bench.answer_questions = False
    bench.swipe(1)
    bench.swipe(1)
    assert len(bench.asked) == 1
    bench.advance(16)
    assert "cannot be checked" in bench.events(ev.SessionRefused)[0].reason


def test_a_token_of_the_clouds_list_needs_no_csms(bench):
    bench.csms_says = False
    item = TokenItem(hash=token_hash("harbour", "04a1b2c3"), driver_id="d1")
    bench.feed(TokensKnown(1, (item,)))
    bench.swipe(1)
    (authorised,) = bench.events(ev.SessionAuthorised)
    assert (authorised.authority, authorised.driver_id) == (Authority.CLOUD, "d1")


def test_authority_csms_refuses_a_start_by_the_cloud(harbour):
    csms_only = harbour.model_copy(
        update={"authority": harbour.authority.model_copy(update={"authorise": "csms"})}
    )
    bench = SiteBench(csms_only)
    outcome = bench.feed(start_wish())
    assert not outcome.accepted
    assert "csms" in outcome.reason


def held(bench, *, token, minutes=60, evse=1):
    item = ReservationItem(
        id="b1",
        rev=1,
        evse=evse,
        bay="A1",
        **{"from": format_utc_ms(bench.now.utc_ms)},
        to=format_utc_ms(bench.now.utc_ms + minutes * 60_000),
        token_hashes=[token_hash("harbour", token)],
        driver_id="d1",
    )
    bench.feed(ReservationsHeld(3, (item,)))


def test_a_booking_keeps_strangers_out_and_lets_its_driver_in(bench):
    held(bench, token="MINE")
    bench.advance(1)
    assert bench.status(1) is ConnectorStatus.RESERVED
    bench.swipe(1, "THEIRS")
    assert "reserved until" in bench.events(ev.SessionRefused)[0].reason
    bench.swipe(1, "mine")
    assert bench.events(ev.SessionAuthorised)[0].booking_id == "b1"
    assert bench.events(ev.ReservationUsed)[0].session
    assert bench.events(ev.ReservationApplied)[0].rev == 1


def test_a_start_without_a_car_gives_the_booking_back(bench):
    held(bench, token="MINE")
    bench.swipe(1, "MINE")
    bench.advance(62)
    assert bench.status(1) is ConnectorStatus.RESERVED
    bench.swipe(1, "THEIRS")
    assert "reserved until" in bench.events(ev.SessionRefused)[0].reason


def test_a_booking_nobody_came_for_is_a_no_show_with_proof(bench):
    bench.advance(5)
    held(bench, token="MINE")
    bench.advance(14 * 60)
    assert not bench.events(ev.ReservationNoShow)
    bench.advance(2 * 60)
    (missed,) = bench.events(ev.ReservationNoShow)
    assert missed.operative
    assert missed.held_ms >= 14 * 60_000
    assert bench.status(1) is ConnectorStatus.AVAILABLE


def test_emergency_stop_ends_the_transaction_and_blocks_the_connector(bench):
    charge(bench)
    bench.plugs[1].faults = frozenset({FaultCode.EMERGENCY_STOP})
    bench.advance(5)
    assert bench.events(ev.ChargingStopped)[0].reason is StopReason.EMERGENCY_STOP
    assert bench.status(1) is ConnectorStatus.FAULTED
    bench.plugs[2].faults = frozenset({FaultCode.EMERGENCY_STOP})
    bench.advance(2)
    bench.swipe(2)
    assert "emergency-stop" in bench.events(ev.SessionRefused)[0].reason
    bench.unplug(1)
    bench.plugs[1].faults = frozenset()
    bench.advance(2)
    assert bench.status(1) is ConnectorStatus.AVAILABLE
    assert_enclosed(bench)


def test_a_silent_board_keeps_its_budget_and_its_session(bench):
    charge(bench)
    bench.board_link(1, up=False)
    bench.plug(2)
    bench.swipe(2)
    bench.advance(20)
    assert bench.status(1) is ConnectorStatus.FAULTED
    assert bench.state.connector(1).session is not None
    assert bench.grant(2).limit_ma <= 63_000 - 32_000


def test_two_cars_share_the_fuse_and_the_reason_is_recorded(bench):
    charge(bench)
    charge(bench, connector=2, seconds=30)
    limits = [each for each in bench.events(ev.LimitChanged) if each.connector == 1]
    assert limits[-1].limit_ma == 31_500
    assert limits[-1].rule == "fuse-share"
    assert bench.view().connectors[1].reason == bench.grant(1).reason


def test_limits_are_the_minimum_of_all_and_can_be_lifted(bench):
    charge(bench)
    bench.feed(LimitWish("l1", 1, "csms", 10_000))
    bench.feed(LimitWish("l2", 0, "cloud", 16_000))
    assert (bench.grant(1).limit_ma, bench.grant(1).rule) == (10_000, "csms")
    bench.feed(LimitWish("l3", 1, "csms", None))
    bench.advance(6)
    assert (bench.grant(1).limit_ma, bench.grant(1).rule) == (16_000, "cloud")


def test_a_limit_below_six_amps_pauses(bench):
    charge(bench)
    bench.feed(LimitWish("l1", 1, "csms", 5_000))
    bench.advance(2)
    assert bench.status(1) is ConnectorStatus.SUSPENDED_EVSE
    assert not bench.plugs[1].closed


def test_a_full_car_is_suspended_by_the_ev(bench):
    charge(bench)
    bench.plugs[1].ready = False
    bench.advance(35)
    assert bench.status(1) is ConnectorStatus.SUSPENDED_EV
    assert bench.events(ev.MeterSampled)[-1].vehicle_requests is False


def test_out_of_service_waits_for_the_session_and_survives_a_restart(bench):
    charge(bench)
    outcome = bench.feed(AvailabilityWish("a1", 1, operative=False, by="csms"))
    assert outcome.reason == "scheduled"
    assert bench.status(1) is ConnectorStatus.CHARGING
    bench.unplug(1)
    bench.advance(3)
    assert bench.status(1) is ConnectorStatus.UNAVAILABLE
    bench.kill()
    bench.swipe(1)
    assert "out of service" in bench.events(ev.SessionRefused)[0].reason


def test_unlock_ends_the_session_first(bench):
    charge(bench)
    bench.feed(UnlockWish("u1", 1))
    bench.advance(3)
    assert bench.events(ev.ChargingStopped)[0].reason is StopReason.UNLOCK_COMMAND


def test_a_soft_reset_ends_sessions_before_the_restart(bench):
    charge(bench)
    bench.feed(ResetWish("r1", hard=False))
    assert bench.restarts == 0
    bench.advance(3)
    assert bench.events(ev.ChargingStopped)[0].reason is StopReason.SOFT_RESET
    assert bench.restarts >= 1


def test_a_full_disk_lets_running_sessions_end_and_none_begin(bench):
    charge(bench)
    bench.feed(StorageChanged(full=True))
    bench.swipe(2)
    assert "disk is full" in bench.events(ev.SessionRefused)[0].reason
    bench.swipe(1)
    bench.advance(3)
    assert len(bench.events(ev.ChargingStopped)) == 1


def test_dc_is_shown_and_refused_until_iso_15118(bench):
    assert bench.status(4) is ConnectorStatus.UNAVAILABLE
    assert not bench.feed(start_wish(connector=4)).accepted


def test_a_bay_change_is_recorded_once(bench):
    for _ in range(3):
        bench.bay("A1", BayState.OCCUPIED)
    (changed,) = bench.events(ev.BayChanged)
    assert (changed.bay, changed.connector) == ("A1", 1)


def test_samples_come_at_the_interval_and_carry_power(bench):
    charge(bench, seconds=95)
    samples = bench.events(ev.MeterSampled)
    assert len(samples) == 3
    assert samples[-1].power_w > 20_000
    assert bench.events(ev.PowerSampled)


def test_the_view_counts_what_was_delivered(bench):
    charge(bench)
    view = bench.view().connectors[1]
    assert abs(view.energy_wh - bench.plugs[1].energy_wh) < 1.5 * 690 * 32 / 3600
    assert view.charging
    assert view.plugged
