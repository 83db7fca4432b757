"""Whatever vehicle, host, faults and time do in whatever order: what a channel never does."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from baywatt_bridge.encoding import encode
from baywatt_bridge.framing import encode_frame
from baywatt_bridge.messages import (
    ChannelControl,
    ChannelInfo,
    Control,
    Hello,
    Message,
    ParameterBlock,
    SetParameters,
)
from baywatt_bridge.vocabulary import ChannelKind
from baywatt_contract.observations import FaultCode, Pilot
from baywatt_sim.board import SimulatedBoard

RATING_MA = 32_000
FAIL_SAFE_MA = 8_000
LATCHING = {
    FaultCode.RESIDUAL_CURRENT,
    FaultCode.OVER_TEMPERATURE,
    FaultCode.PILOT_SHORT,
    FaultCode.EMERGENCY_STOP,
    FaultCode.SELF_TEST_FAILED,
}
BLOCKING = LATCHING | {FaultCode.LOCK_FAILED, FaultCode.OVER_CURRENT, FaultCode.CONTROLLER}


class AnyLife(RuleBasedStateMachine):
    """A socket channel with an independent memory of what it was told and when."""

    @initialize()
    def power_on(self) -> None:
        self.now_ms = 1_000
        self.board = SimulatedBoard(
            [ChannelInfo(1, ChannelKind.AC_SOCKET, 3, RATING_MA)],
            now_ms=self.now_ms,
            parameters=ParameterBlock(fail_safe_ma=FAIL_SAFE_MA),
        )
        self.session = self.sequence = self.request = 0
        self.vehicle = Pilot.A
        self.cable_ma = 32_000
        self.active: set[FaultCode] = set()
        self.latched: set[FaultCode] = set()
        self.forget()
        self.charge(32_000)

    def forget(self) -> None:
        self.known = False
        self.shorted = self.vehicle is Pilot.E
        self.order: ChannelControl | None = None
        self.ordered_ms = self.energy_wanted_ms = self.refused_ms = self.now_ms

    def send(self, message: Message) -> None:
        self.board.receive_data(encode_frame(encode(message)), self.now_ms)

    @rule(limit_ma=st.sampled_from([6_000, 16_000, 32_000]))
    def charge(self, limit_ma: int) -> None:
        """What must work, and keeps the search near what matters."""
        for fault in list(self.active):
            self.fault(fault, active=False)
        self.plug_cable(32_000)
        self.drive(Pilot.A)
        self.drive(Pilot.C)
        self.hello()
        self.control(permit=True, available=True, limit_ma=limit_ma, unlock=0, repeats=5)
        assert self.latched or self.shorted or self.board.contactor_closed(1)

    @rule(ms=st.sampled_from([10, 90, 200, 500, 1_000, 5_000, 7_000, 30_000, 61_000]))
    def time_passes(self, ms: int) -> None:
        for _ in range(10):
            self.now_ms += ms // 10
            self.board.handle_timer(self.now_ms)
            self.never()

    @rule()
    def hello(self) -> None:
        self.session += 1
        self.sequence = self.request = 0
        self.known = True
        self.send(Hello(self.session, 1, 0))

    @rule(
        permit=st.booleans(),
        available=st.booleans(),
        limit_ma=st.sampled_from([0, 5_999, 6_000, 10_000, 16_000, 32_000, 63_000]),
        unlock=st.integers(0, 2),
        repeats=st.integers(1, 30),
    )
    def control(
        self, *, permit: bool, available: bool, limit_ma: int, unlock: int, repeats: int
    ) -> None:
        order = ChannelControl(1, permit, limit_ma, 3, available, unlock)
        for _ in range(repeats):
            self.sequence += 1
            if self.known:
                if self.order is None or not self.refused(order) or not self.refused(self.order):
                    self.refused_ms = self.now_ms
                self.order, self.ordered_ms = order, self.now_ms
            self.send(Control(self.session, self.sequence, (order,)))
            self.now_ms += 100
            self.board.handle_timer(self.now_ms)
            self.never()

    @staticmethod
    def refused(order: ChannelControl) -> bool:
        return not order.permit or not order.available or order.limit_ma < 6_000

    @rule()
    def stale_control(self) -> None:
        order = ChannelControl(1, True, 32_000)
        self.send(Control(self.session + 1, self.sequence + 1, (order,)))
        if self.sequence:
            self.send(Control(self.session, self.sequence, (order,)))

    @rule(pilot=st.sampled_from([Pilot.A, Pilot.B, Pilot.C, Pilot.C, Pilot.C, Pilot.D, Pilot.E]))
    def drive(self, pilot: Pilot) -> None:
        self.vehicle = pilot
        self.shorted |= pilot is Pilot.E  # latches when it lasts
        self.board.set_pilot(1, pilot)

    @rule(cable_ma=st.sampled_from([0, 13_000, 20_000, 32_000]))
    def plug_cable(self, cable_ma: int) -> None:
        self.cable_ma = cable_ma
        self.board.set_cable(1, cable_ma)

    @rule(current_ma=st.sampled_from([None, 0, 16_000]))
    def measure(self, current_ma: int | None) -> None:
        self.board.set_current_ma(1, current_ma)

    @rule(fault=st.sampled_from(sorted(BLOCKING)), active=st.booleans())
    def fault(self, fault: FaultCode, *, active: bool) -> None:
        self.board.set_fault(1, fault, active)
        (self.active.add if active else self.active.discard)(fault)
        if active and fault in LATCHING:
            self.latched.add(fault)

    @rule()
    def power_cut(self) -> None:
        self.board.power_cycle()
        self.latched = self.active & LATCHING
        self.forget()

    @rule(block=st.builds(ParameterBlock, st.just(5_000), st.integers(0, 200)))
    def bad_parameters(self, block: ParameterBlock) -> None:
        self.request += 1
        self.send(SetParameters(self.session, self.request, block))
        assert self.board.parameters == ParameterBlock(fail_safe_ma=FAIL_SAFE_MA)

    @invariant()
    def never(self) -> None:
        offered_ma, closed = self.board.offered_ma(1), self.board.contactor_closed(1)
        age_ms = self.now_ms - self.ordered_ms
        order = self.order if age_ms < 60_000 else None
        assert offered_ma == 0 or 6_000 <= offered_ma <= min(RATING_MA, self.cable_ma)
        if offered_ma:
            assert order is not None
            assert not self.refused(order)
            assert offered_ma <= order.limit_ma
            assert age_ms < 1_000 or offered_ma <= FAIL_SAFE_MA
            assert not self.latched
            assert not self.active
        if closed:
            assert order is not None
            assert self.vehicle is Pilot.C
            assert self.board.locked(1)
            assert not self.latched
            assert not self.active
            assert not self.refused(order) or self.now_ms - self.refused_ms <= 6_000
        if self.latched:
            assert self.board.pilot(1) is Pilot.F
            assert self.latched <= self.board.faults(1)


AnyLife.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestAnyLife = AnyLife.TestCase
