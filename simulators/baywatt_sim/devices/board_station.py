"""A simulated safety board as a station of its serial line, tied to the outlets it controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from baywatt_contract.observations import FaultCode
from baywatt_sim.board import SimulatedBoard
from baywatt_sim.devices.base import Touch
from baywatt_sim.wire.link import Reply
from baywatt_sim.world import Outlet, World


def millis(now: float) -> int:
    """Whole milliseconds, robust against a deadline that lost its last bit as a float."""
    return int(now * 1000 + 0.001)


class BoardStation:
    """The board's wires: bytes on one side; pilots, contactors and currents on the other.

    The world is brought up to date before every step of the board, so a contactor moves at the
    moment the board moves it.
    """

    def __init__(
        self, board: SimulatedBoard, outlets: Mapping[int, Outlet], world: World, touch: Touch
    ) -> None:
        self.board = board
        self.requests = 0
        self._outlets, self._world, self._touch = outlets, world, touch
        self._unsent = b""

    def receive(self, data: bytes, now: float) -> Sequence[Reply]:  # noqa: ARG002 - touch knows
        """Bytes of the host."""
        self.requests += 1
        self.board.receive_data(data, millis(self._touch()))
        return self._speak()

    def next_deadline(self) -> float | None:
        """At once while something is unsent, otherwise the board's own."""
        return 0.0 if self._unsent else self.board.next_deadline() / 1000

    def handle_timer(self, now: float) -> Sequence[Reply]:  # noqa: ARG002 - touch knows
        """The board's own time."""
        self.tick(self._touch())
        return self._speak()

    def tick(self, now: float) -> None:
        """Let the board see the vehicles and the vehicles see the board."""
        for channel, outlet in self._outlets.items():
            self.board.set_pilot(channel, outlet.pilot)
            self.board.set_current_ma(channel, round(outlet.drawn_a * 1000))
        self.board.handle_timer(millis(now))
        self._sync()
        self._unsent += self.board.data_to_send()

    def swipe(self, channel: int, uid: bytes) -> None:
        """Hold a card to the reader of a channel."""
        self._touch()
        self.board.swipe(channel, uid)

    def set_fault(self, channel: int, fault: FaultCode, active: bool) -> None:
        """Cause a fault or remove its cause; a latched one stays until the host clears it."""
        self._touch()
        self.board.set_fault(channel, fault, active)
        self._sync()

    def power_on(self, now: float) -> None:
        """The board boots."""
        self.board.power(on=True)
        self.tick(now)

    def power_off(self) -> None:
        """No supply: contactors fall open, no pilot."""
        self._touch()
        self.board.power(on=False)
        self._unsent = b""
        self._sync()

    def _sync(self) -> None:
        for channel, outlet in self._outlets.items():
            outlet.offered_a = self.board.offered_ma(channel) / 1000
            outlet.locked = self.board.locked(channel)
            outlet.poles = self.board.phases(channel)
            outlet.shown = self.board.pilot(channel)
            outlet.faults = {each.value for each in self.board.faults(channel)}
            closed = self.board.contactor_closed(channel)
            if closed != outlet.contactor_closed:
                outlet.contactor_closed = closed
                self._world.switched(outlet)

    def _speak(self) -> Sequence[Reply]:
        self._sync()
        data, self._unsent = self._unsent + self.board.data_to_send(), b""
        return [Reply(data)] if data else ()
