"""Loss of the host at the board: two stages, not latched (PROTOCOL.md, section 7)."""

from __future__ import annotations

import pytest

from baywatt_bridge.host import Target
from baywatt_bridge.host_events import Connected, LinkLost
from baywatt_bridge.vocabulary import ChannelKind, HostLoss
from baywatt_contract.observations import Pilot

ONE_FRAME_MS = 110  # the last control frame is at most that old when the host dies


def test_stage_one_falls_to_the_fail_safe_after_one_second(bench) -> None:
    bench.charge(limit_ma=16_000)
    bench.kill_host()
    took_ms = bench.until(lambda: bench.board.offered_ma(1) != 16_000)
    assert 1_000 - ONE_FRAME_MS <= took_ms <= 1_010
    assert bench.board.offered_ma(1) == 6_000
    assert bench.board.contactor_closed(1)
    assert bench.board.host_lost(1) is HostLoss.FAIL_SAFE


def test_stage_two_opens_after_sixty_seconds(bench) -> None:
    bench.charge()
    bench.kill_host()
    took_ms = bench.until(lambda: not bench.board.contactor_closed(1), within_ms=61_000)
    assert 60_000 - ONE_FRAME_MS <= took_ms <= 60_010
    assert bench.board.offered_ma(1) == 0
    assert not bench.board.locked(1)
    assert bench.board.pilot(1) is Pilot.C  # X1: the vehicle's state still shows
    assert bench.board.faults(1) == frozenset()


@pytest.mark.parametrize("away_ms", [900, 5_000, 59_000])
def test_the_transaction_goes_on_after_a_restart_of_the_host(bench, away_ms: int) -> None:
    bench.charge()
    bench.kill_host()
    bench.run(away_ms)
    bench.restart_host()
    for _ in range(30):
        bench.tick()
        assert bench.board.contactor_closed(1)
    bench.allow(16_000)
    bench.until(lambda: bench.board.offered_ma(1) == 16_000)
    assert bench.board.contactor_closed(1)
    assert bench.report().host_lost is HostLoss.PRESENT


def test_after_stage_two_a_control_frame_alone_resumes(bench) -> None:
    bench.charge()
    bench.kill_host()
    bench.run(70_000)
    assert not bench.board.contactor_closed(1)
    bench.restart_host()
    bench.run(2_000)
    assert not bench.board.contactor_closed(1)
    bench.allow(16_000)
    bench.until(lambda: bench.board.contactor_closed(1))


def test_a_handshake_alone_does_not_feed_the_watchdog(bench) -> None:
    """A daemon that restarts for ever must not keep a contactor closed."""
    bench.charge()
    bench.kill_host()
    bench.run(500)
    opened_ms = 0
    for _ in range(70):
        bench.restart_host()
        bench.run(1_000)
        opened_ms += 1_000
        if not bench.board.contactor_closed(1):
            break
    assert 58_000 <= opened_ms <= 60_000


def test_the_fail_safe_never_raises_a_lower_limit(bench) -> None:
    bench.charge()
    bench.allow(limit_ma=0)
    bench.run(8_000)
    assert not bench.board.contactor_closed(1)
    bench.kill_host()
    bench.run(30_000)
    assert bench.board.offered_ma(1) == 0
    assert not bench.board.contactor_closed(1)


def test_each_channel_has_its_own_watchdog(bench) -> None:
    """A channel that control frames do not name is not controlled."""
    bench.board.set_pilot(2, Pilot.C)
    bench.charge(channel=1)
    bench.run(70_000)
    assert bench.board.contactor_closed(1)
    assert bench.board.host_lost(2) is HostLoss.OPEN
    assert not bench.board.contactor_closed(2)


def test_repeated_and_old_control_frames_do_not_feed_the_watchdog(bench) -> None:
    bench.charge()
    old = bench.host.data_to_send(bench.now_ms + 100)
    assert old
    bench.down.send(old, bench.now_ms)
    bench.kill_host()
    for _ in range(150):
        bench.down.send(old, bench.now_ms)
        bench.tick()
    assert bench.board.offered_ma(1) == 6_000


def test_dc_goes_off_after_one_second_and_opens_a_second_later(new_bench) -> None:
    bench = new_bench(ChannelKind.DC)
    bench.charge(limit_ma=32_000)
    bench.board.set_current_ma(1, 30_000)
    bench.kill_host()
    took_ms = bench.until(lambda: bench.board.offered_ma(1) == 0)
    assert 1_000 - ONE_FRAME_MS <= took_ms <= 1_010
    assert bench.board.contactor_closed(1)
    took_ms = bench.until(lambda: not bench.board.contactor_closed(1))
    assert 990 <= took_ms <= 1_010


def test_dc_opens_as_soon_as_less_than_five_amps_flow(new_bench) -> None:
    bench = new_bench(ChannelKind.DC)
    bench.charge(limit_ma=32_000)
    bench.board.set_current_ma(1, 30_000)
    bench.kill_host()
    bench.until(lambda: bench.board.offered_ma(1) == 0)
    bench.board.set_current_ma(1, 4_900)
    assert not bench.board.contactor_closed(1)


def test_a_board_that_was_reset_closes_nothing_before_a_handshake(bench) -> None:
    bench.charge()
    bench.kill_host()
    stale = bench.host.data_to_send(bench.now_ms + 100)
    bench.board.power_cycle()
    bench.down.send(stale, bench.now_ms)
    bench.run(3_000)
    assert not bench.board.contactor_closed(1)
    assert bench.board.offered_ma(1) == 0


def test_after_a_board_reset_the_living_host_goes_on_by_itself(bench) -> None:
    bench.charge()
    bench.board.power_cycle()
    assert not bench.board.contactor_closed(1)
    bench.until(lambda: bench.board.contactor_closed(1), within_ms=1_500)
    assert [event.reason for event in bench.named(LinkLost)] == ["the board was reset"]
    assert [event.welcome.boot_counter for event in bench.named(Connected)] == [1, 2]


def test_limits_and_permits_are_not_remembered_beyond_stage_two(bench) -> None:
    bench.charge()
    bench.kill_host()
    bench.run(61_000)
    bench.restart_host()
    bench.host.set_target(Target(1, permit=False, limit_ma=0))
    bench.run(3_000)
    assert not bench.board.contactor_closed(1)
    assert bench.report().host_lost is HostLoss.PRESENT
