"""Host and board joined in memory, on good lines and bad ones."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baywatt_bridge.board_core import BoardCore, Boot
from baywatt_bridge.decoding import decode
from baywatt_bridge.encoding import encode
from baywatt_bridge.errors import NotConnectedError
from baywatt_bridge.framing import FrameDecoder, encode_frame
from baywatt_bridge.host import HostLink, Phase, Target
from baywatt_bridge.host_events import CardSwiped, Connected, LinkLost, Refused
from baywatt_bridge.messages import (
    ChannelInfo,
    Control,
    Hello,
    Message,
    ParameterBlock,
    State,
    Welcome,
)
from baywatt_bridge.vocabulary import (
    LATCHING,
    ChannelKind,
    Fault,
    HostLoss,
    ResetReason,
    SelfTest,
)
from baywatt_bridge.vocabulary import Pilot as WirePilot
from baywatt_contract.observations import Pilot

UID = bytes.fromhex("04A1B2C3")
INFO = ChannelInfo(1, ChannelKind.AC_SOCKET, 3, 32_000)


def messages(data: bytes) -> list[Message | None]:
    return [decode(payload) for payload in FrameDecoder().feed(data)]


def of(kind: type[Message], data: bytes) -> list[Message]:
    return [each for each in messages(data) if isinstance(each, kind)]


# --- handshake ------------------------------------------------------------------------------


def test_the_handshake_takes_three_exchanges_and_names_the_board(bench) -> None:
    took_ms = bench.until(lambda: bench.host.phase is Phase.UP)
    assert took_ms <= 100
    (connected,) = bench.named(Connected)
    assert connected.welcome.serial == "SIM-0001"
    assert [each.channel for each in connected.welcome.channels] == [1, 2]
    assert connected.parameters == bench.board.parameters == ParameterBlock()


def test_the_parameters_of_the_site_reach_the_board_before_any_order(bench) -> None:
    bench.block = ParameterBlock(fail_safe_ma=10_000, host_loss_open_ms=30_000)
    bench.restart_host()
    bench.charge(limit_ma=16_000)
    bench.kill_host()
    bench.run(2_000)
    assert bench.board.offered_ma(1) == 10_000
    bench.run(30_000)
    assert not bench.board.contactor_closed(1)
    bench.board.power_cycle()
    assert bench.board.parameters == bench.block


def test_no_control_frame_before_the_first_target(bench) -> None:
    host = HostLink(1, ParameterBlock(), 0)
    core = BoardCore(Boot("T", "S", "F"), [INFO], 0)
    sent = []
    for now_ms in range(0, 5_000, 10):
        data = host.data_to_send(now_ms)
        sent += of(Control, data)
        core.receive_data(data, now_ms)
        host.receive_data(core.data_to_send(), now_ms)
        host.handle_timer(now_ms)
    assert host.phase is Phase.UP
    assert sent == []
    host.set_target(Target(1, permit=True, limit_ma=6_000))
    assert len(of(Control, host.data_to_send(5_000))) == 1


def test_control_frames_keep_their_hundred_milliseconds_and_a_change_goes_at_once(bench) -> None:
    bench.allow()
    bench.until(lambda: bench.host.phase is Phase.UP)
    sent = []
    for _ in range(100):
        bench.now_ms += 10
        data = bench.host.data_to_send(bench.now_ms)
        sent += of(Control, data)
        bench.board.receive_data(data, bench.now_ms)
        bench.host.receive_data(bench.board.data_to_send(), bench.now_ms)
    assert len(sent) in {10, 11}
    bench.host.data_to_send(bench.now_ms + 10)
    bench.allow(limit_ma=7_000)
    (control,) = of(Control, bench.host.data_to_send(bench.now_ms + 10))
    assert isinstance(control, Control)
    assert control.channels[0].limit_ma == 7_000


def test_a_board_of_another_major_version_is_refused_once(bench) -> None:
    host = HostLink(1, ParameterBlock(), 0)
    (hello,) = messages(host.data_to_send(0))
    assert isinstance(hello, Hello)
    answer = Welcome(
        hello.session, 2, 0, "T", "S", "F", 1, ResetReason.POWER_ON, SelfTest.PASSED, (INFO,)
    )
    events = host.receive_data(encode_frame(encode(answer)) * 3, 10)
    (refused,) = events
    assert isinstance(refused, Refused)
    assert "update the board's firmware" in refused.reason
    assert host.phase is Phase.HELLO


def test_a_host_of_another_major_version_gets_no_session() -> None:
    core = BoardCore(Boot("T", "S", "F"), [INFO], 0)
    core.receive_data(encode_frame(encode(Hello(5, 2, 0))), 10)
    data = core.data_to_send()
    (welcome,) = of(Welcome, data)
    assert isinstance(welcome, Welcome)
    assert welcome.major == 1
    assert core.boot_locked


def test_a_failed_self_test_latches_every_channel() -> None:
    core = BoardCore(Boot("T", "S", "F", self_test=SelfTest.FAILED), [INFO], 0)
    core.handle_timer(0)
    (state,) = of(State, core.data_to_send())
    assert isinstance(state, State)
    assert state.channels[0].latched == Fault.SELF_TEST_FAILED
    assert state.boot_locked


def test_a_block_that_no_board_may_accept_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match="no board may accept"):
        HostLink(1, ParameterBlock(fail_safe_ma=5_000), 0)


@pytest.mark.parametrize("target", [Target(0, True, 0), Target(17, True, 0), Target(1, True, 0, 2)])
def test_a_target_that_fits_no_channel_is_refused(bench, target: Target) -> None:
    with pytest.raises(ValueError, match="no board channel"):
        bench.host.set_target(target)


def test_clear_latch_needs_a_connection() -> None:
    with pytest.raises(NotConnectedError):
        HostLink(1, ParameterBlock(), 0).clear_latch(1, LATCHING)


# --- loss seen by the host ------------------------------------------------------------------


def test_a_silent_board_is_lost_after_a_second_and_found_again(bench) -> None:
    bench.charge()
    bench.up.cut = True
    took_ms = bench.until(lambda: bench.named(LinkLost))
    assert 900 <= took_ms <= 1_010
    bench.up.cut = False
    bench.until(lambda: len(bench.named(Connected)) == 2)
    assert bench.board.contactor_closed(1)


def test_a_board_that_does_not_hear_is_lost_although_it_speaks(bench) -> None:
    bench.charge()
    bench.run(1_000)
    bench.down.cut = True
    took_ms = bench.until(lambda: bench.named(LinkLost), within_ms=1_500)
    assert took_ms >= 900
    (lost,) = bench.named(LinkLost)
    assert lost.reason == "the board does not hear the controller"
    assert bench.board.host_lost(1) is HostLoss.FAIL_SAFE


def test_targets_set_long_after_the_handshake_are_no_deafness(bench) -> None:
    bench.run(30_000)
    bench.allow()
    bench.run(2_000)
    assert bench.named(LinkLost) == []


def test_latencies_are_measured_from_the_echo(bench) -> None:
    bench.charge()
    bench.run(2_000)
    assert bench.host.latencies_ms
    assert max(bench.host.latencies_ms) <= 120


# --- cards ----------------------------------------------------------------------------------


def test_a_swipe_is_told_once(bench) -> None:
    bench.run(500)
    bench.board.swipe(2, UID)
    bench.run(3_000)
    assert [(e.channel, e.uid) for e in bench.named(CardSwiped)] == [(2, UID)]


@pytest.mark.parametrize("seed", range(8))
def test_no_swipe_is_lost_or_doubled_with_a_fifth_of_all_frames_lost(new_bench, seed: int) -> None:
    bench = new_bench(seed=seed)
    for line in (bench.up, bench.down):
        line.loss, line.repeat = 0.2, 0.2
    bench.run(2_000)
    told = []
    for number in range(10):
        uid = bytes([4, 0, 0, number])
        bench.board.swipe(1 + number % 2, uid)
        told.append((1 + number % 2, uid))
        bench.run(1_500)
    bench.run(5_000)
    assert [(e.channel, e.uid) for e in bench.named(CardSwiped)] == told


def test_the_same_card_twice_is_two_swipes(bench) -> None:
    bench.run(500)
    for _ in range(2):
        bench.board.swipe(1, UID)
        bench.run(500)
    assert len(bench.named(CardSwiped)) == 2


def test_a_swipe_survives_a_restart_of_the_host_but_not_ten_seconds(bench) -> None:
    bench.run(500)
    bench.kill_host()
    bench.board.swipe(1, UID)
    bench.run(4_000)
    bench.restart_host()
    bench.run(1_000)
    (swiped,) = bench.named(CardSwiped)
    assert 4_000 <= swiped.age_ms <= 4_500
    bench.kill_host()
    bench.board.swipe(1, UID)
    bench.run(10_500)
    bench.restart_host()
    bench.run(1_000)
    assert len(bench.named(CardSwiped)) == 1


def test_counters_that_begin_again_after_a_board_reset_are_new_swipes(bench) -> None:
    bench.run(500)
    bench.board.swipe(1, UID)
    bench.run(500)
    bench.board.power_cycle()
    bench.run(1_000)
    bench.board.swipe(1, UID)
    bench.run(500)
    assert len(bench.named(CardSwiped)) == 2


# --- bad lines ------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 2**32),
    loss=st.floats(0, 0.4),
    repeat=st.floats(0, 0.5),
    garble=st.floats(0, 0.2),
    delay_ms=st.integers(0, 80),
    chop=st.booleans(),
)
@settings(max_examples=15, deadline=None)
def test_a_bad_line_lowers_but_never_raises_and_heals(
    new_bench, seed: int, loss: float, repeat: float, garble: float, delay_ms: int, chop: bool
) -> None:
    bench = new_bench(seed=seed)
    bench.allow(16_000)
    bench.board.set_pilot(1, Pilot.C)
    for line in (bench.up, bench.down):
        line.loss, line.repeat, line.garble = loss, repeat, garble
        line.delay_ms, line.chop = delay_ms, chop
    for _ in range(500):
        bench.tick()
        assert bench.board.offered_ma(1) in {0, 6_000, 16_000}
        assert bench.board.offered_ma(1) or not bench.board.contactor_closed(1)
        assert not bench.board.contactor_closed(2)
    for line in (bench.up, bench.down):
        line.loss = line.repeat = line.garble = 0.0
        line.delay_ms = 0
    bench.until(lambda: bench.board.offered_ma(1) == 16_000, within_ms=12_000)
    assert bench.board.contactor_closed(1)
    bench.run(1_000)
    lost = len(bench.named(LinkLost))
    bench.run(2_000)
    assert len(bench.named(LinkLost)) == lost


@given(st.lists(st.binary(max_size=60), max_size=30), st.integers(0, 2**32 - 1))
def test_garbage_never_closes_a_contactor_or_stops_the_board(
    pieces: list[bytes], session: int
) -> None:
    core = BoardCore(Boot("T", "S", "F"), [INFO], 0)
    core.channels[1].sense_pilot(WirePilot.C, 0)
    now_ms = 0
    for piece in pieces:
        now_ms += 50
        core.receive_data(piece, now_ms)
        core.receive_data(encode_frame(bytes([0x02]) + piece), now_ms)
        assert not core.channels[1].coil
    core.data_to_send()
    core.receive_data(encode_frame(encode(Hello(session or 1, 1, 0))), now_ms + 50)
    assert of(Welcome, core.data_to_send())


@given(st.lists(st.binary(max_size=60), max_size=30))
def test_garbage_never_stops_the_host(pieces: list[bytes]) -> None:
    host = HostLink(1, ParameterBlock(), 0)
    now_ms = 0
    for piece in pieces:
        now_ms += 50
        host.receive_data(piece, now_ms)
        host.receive_data(encode_frame(b"\x82" + piece), now_ms)
        host.handle_timer(now_ms)
    assert of(Hello, host.data_to_send(now_ms + 300))


def test_a_board_that_nobody_listens_to_fills_no_memory() -> None:
    core = BoardCore(Boot("T", "S", "F"), [INFO], 0)
    for now_ms in range(0, 600_000, 100):
        core.handle_timer(now_ms)
    assert len(core.data_to_send()) < 5_000


def test_deadlines_are_enough_to_run_on(bench) -> None:
    """Nothing happens late when both sides are called at their own deadlines only."""
    host = HostLink(1, ParameterBlock(), 0)
    core = BoardCore(Boot("T", "S", "F"), [INFO], 0)
    core.channels[1].senses.cable_max_ma = 32_000
    core.channels[1].sense_pilot(WirePilot.C, 0)
    host.set_target(Target(1, permit=True, limit_ma=16_000))
    now_ms = calls = 0
    while now_ms < 10_000:
        now_ms = max(now_ms + 1, min(host.next_deadline(), core.next_deadline()))
        host.handle_timer(now_ms)
        core.receive_data(host.data_to_send(now_ms), now_ms)
        core.channels[1].senses.mirror_closed = core.channels[1].coil
        host.receive_data(core.data_to_send(), now_ms)
        calls += 1
    assert core.channels[1].coil
    assert host.losses == 0
    assert calls < 10_000 / 100 * 6
