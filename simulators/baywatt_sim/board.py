"""A simulated safety board: the board's own logic, and the physical side as plain methods.

No transport inside: give it the bytes that came, send what `data_to_send` returns, call
`handle_timer` at `next_deadline` (and as often as you like). Inputs act at once, at the moment of
the last call that carried the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from baywatt_bridge.board_core import BoardCore, Boot
from baywatt_bridge.messages import ChannelInfo, ParameterBlock
from baywatt_bridge.vocabulary import (
    ChannelKind,
    Fault,
    HostLoss,
    Lock,
    ResetReason,
    SelfTest,
)
from baywatt_bridge.vocabulary import Pilot as WirePilot
from baywatt_contract.observations import FaultCode, Pilot
from baywatt_contract.site_file import Connector

CABLE_MA = 32_000
_FAR_MS = 3_600_000
_KINDS = {
    "type2-socket": ChannelKind.AC_SOCKET,
    "type2-cable": ChannelKind.AC_CABLE,
    "ccs2": ChannelKind.DC,
}
_FAULTS = {
    FaultCode.RESIDUAL_CURRENT: Fault.RESIDUAL_CURRENT,
    FaultCode.CONTACTOR_WELDED: Fault.CONTACTOR_WELDED,
    FaultCode.OVER_TEMPERATURE: Fault.OVER_TEMPERATURE,
    FaultCode.PILOT_SHORT: Fault.PILOT_SHORT,
    FaultCode.EMERGENCY_STOP: Fault.EMERGENCY_STOP,
    FaultCode.SELF_TEST_FAILED: Fault.SELF_TEST_FAILED,
    FaultCode.LOCK_FAILED: Fault.LOCK_FAILED,
    FaultCode.OVER_CURRENT: Fault.OVER_CURRENT,
    FaultCode.CONTROLLER: Fault.CONTROLLER,
}


class SimulatedBoard:
    """One board on its DIN rail, with vehicles, cards and faults at its terminals."""

    def __init__(
        self,
        channels: Sequence[ChannelInfo],
        serial: str = "SIM-0001",
        now_ms: int = 0,
        parameters: ParameterBlock | None = None,
    ) -> None:
        """Powered on at `now_ms`, as after the first boot."""
        self.serial = serial
        self.on = True
        self._infos = tuple(channels)
        self._now_ms = now_ms
        self._boots = 1
        self._parameters = parameters or ParameterBlock()
        self._welded: set[int] = set()
        self._core = self._boot(ResetReason.POWER_ON)
        for info in channels:
            self._core.channels[info.channel].senses.cable_max_ma = CABLE_MA

    @classmethod
    def for_connectors(
        cls, connectors: Sequence[Connector], serial: str = "SIM-0001", now_ms: int = 0
    ) -> Self:
        """A board with one channel for each connector of a site file that it controls."""
        infos = [
            ChannelInfo(
                channel=each.control_channel,
                kind=_KINDS[each.plug],
                phases=min(len(each.phases), 3),
                max_ma=each.max_a * 1000,
            )
            for each in connectors
        ]
        return cls(infos, serial, now_ms)

    @property
    def parameters(self) -> ParameterBlock:
        """The block in the board's memory; it outlives a power cut."""
        return self._core.parameters

    # --- the line ----------------------------------------------------------------------------

    def receive_data(self, data: bytes, now_ms: int) -> None:
        """Bytes that came down the line."""
        self._now_ms = now_ms
        if self.on:
            self._core.receive_data(data, now_ms)
            self._settle()

    def data_to_send(self) -> bytes:
        """Bytes for the line since the last call; fetch them after every other call."""
        return self._core.data_to_send() if self.on else b""

    def next_deadline(self) -> int:
        """When `handle_timer` is due at the latest."""
        return self._core.next_deadline() if self.on else self._now_ms + _FAR_MS

    def handle_timer(self, now_ms: int) -> None:
        """Time has passed."""
        self._now_ms = now_ms
        self._settle()

    # --- the vehicle -------------------------------------------------------------------------

    def set_pilot(self, channel: int, pilot: Pilot) -> None:
        """What the vehicle shows: A unplugged, B connected, C or D wants energy, E shorted."""
        self._core.channels[channel].sense_pilot(WirePilot(ord(pilot.value)), self._now_ms)
        self._settle()

    def set_cable(self, channel: int, cable_max_ma: int) -> None:
        """The proximity resistor of the plugged cable, 0 for none; a 32 A cable at first."""
        self._core.channels[channel].senses.cable_max_ma = cable_max_ma
        self._settle()

    def set_current_ma(self, channel: int, current_ma: int | None) -> None:
        """What the board measures; None (at first) for a board that measures nothing."""
        self._core.channels[channel].senses.current_ma = current_ma
        self._settle()

    def contactor_closed(self, channel: int) -> bool:
        """Whether the contacts are together, by the coil or welded."""
        return channel in self._welded or (self.on and self._core.channels[channel].coil)

    def offered_ma(self, channel: int) -> int:
        """What the vehicle may draw per phase by the pilot, 0 for X1, F or no power."""
        return self._core.channels[channel].offered_ma if self.on else 0

    def phases(self, channel: int) -> int:
        """How many phases the contactor connects."""
        return self._core.channels[channel].report().phases

    def locked(self, channel: int) -> bool:
        """Whether the plug is held."""
        return self.on and self._core.channels[channel].lock is Lock.LOCKED

    def pilot(self, channel: int) -> Pilot:
        """The pilot state on the cable, F included."""
        if not self.on:
            return Pilot.E
        return Pilot(chr(self._core.channels[channel].report().pilot))

    def host_lost(self, channel: int) -> HostLoss:
        """How far the channel has fallen for want of a host."""
        return self._core.channels[channel].host_lost

    # --- people and mishaps ------------------------------------------------------------------

    def swipe(self, channel: int, uid: bytes) -> None:
        """Hold a card of 4 to 10 bytes to the channel's reader."""
        if self.on:
            self._core.swipe(channel, uid, self._now_ms)

    def set_fault(self, channel: int, fault: FaultCode, active: bool) -> None:
        """Cause or remove a fault; KeyError for one that no board has.

        A welded contactor closes its contacts; the board finds out by the mirror contact.
        """
        bit = _FAULTS[fault]
        senses = self._core.channels[channel].senses
        if fault is FaultCode.CONTACTOR_WELDED:
            (self._welded.add if active else self._welded.discard)(channel)
        elif active:
            senses.causes |= bit
        else:
            senses.causes &= ~bit
        self._settle()

    def faults(self, channel: int) -> frozenset[FaultCode]:
        """Faults that are present or latched."""
        found = self._core.channels[channel].faults | self._core.channels[channel].latched
        return frozenset(code for code, bit in _FAULTS.items() if found & bit)

    def power(self, on: bool) -> None:
        """Switch the board's supply; coming back is a boot."""
        if on and not self.on:
            self._boots += 1
            self._reboot(ResetReason.POWER_ON)
        self.on = on

    def power_cycle(self) -> None:
        """Off and on again: latches, session and orders are gone, parameters stay."""
        self.power(on=False)
        self.power(on=True)

    def _boot(self, reason: ResetReason) -> BoardCore:
        boot = Boot(
            board_type="BAYWATT-SIM",
            serial=self.serial,
            firmware="1.0.0",
            boot_counter=self._boots,
            reset_reason=reason,
            self_test=SelfTest.PASSED,
        )
        return BoardCore(boot, self._infos, self._now_ms, self._parameters)

    def _reboot(self, reason: ResetReason) -> None:
        old = self._core.channels
        self._parameters = self._core.parameters
        self._core = self._boot(reason)
        for number, channel in self._core.channels.items():
            channel.senses = old[number].senses
        self.on = True
        self._settle()

    def _settle(self) -> None:
        """Let logic and contacts follow each other until nothing moves."""
        if not self.on:
            return
        for _ in range(4):
            self._core.handle_timer(self._now_ms)
            if not self._move_contacts():
                return

    def _move_contacts(self) -> bool:
        moved = False
        for number, channel in self._core.channels.items():
            closed = channel.coil or number in self._welded
            moved |= closed is not channel.senses.mirror_closed
            channel.senses.mirror_closed = closed
        return moved
