"""A host and a board joined by two lines in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from baywatt_bridge.host import HostLink, Target
from baywatt_bridge.host_events import ChannelState, Event
from baywatt_bridge.messages import ChannelInfo, ChannelReport, ParameterBlock
from baywatt_bridge.vocabulary import ChannelKind
from baywatt_contract.observations import Pilot
from baywatt_sim.board import SimulatedBoard


class BadLine:
    """One direction of a bad line: frames are lost, repeated, delayed, garbled and chopped."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.loss = self.repeat = self.garble = 0.0
        self.delay_ms = 0
        self.chop = False
        self.cut = False
        self._under_way: list[tuple[int, bytes]] = []

    def send(self, data: bytes, now_ms: int) -> None:
        if self.cut:
            return
        for frame in data.split(b"\x00"):
            if frame and self.rng.random() >= self.loss:
                times = 2 if self.rng.random() < self.repeat else 1
                late_ms = self.rng.randint(0, self.delay_ms)
                for _ in range(times):
                    wire = b"\x00" + self._garbled(frame) + b"\x00"
                    self._under_way.append((now_ms + late_ms, wire))

    def arrived(self, now_ms: int) -> list[bytes]:
        here = b"".join(data for at, data in self._under_way if at <= now_ms)
        self._under_way = [each for each in self._under_way if each[0] > now_ms]
        if self.chop:
            return [bytes([byte]) for byte in here]
        return [here] if here else []

    def _garbled(self, frame: bytes) -> bytes:
        if self.rng.random() >= self.garble:
            return frame
        at = self.rng.randrange(len(frame))
        return frame[:at] + bytes([self.rng.randrange(256)]) + frame[at + 1 :]


class Bench:
    """Host, board and lines, moved in steps of 10 ms of nobody's time."""

    def __init__(self, kind: ChannelKind = ChannelKind.AC_SOCKET, seed: int = 1) -> None:
        rng = Random(seed)  # noqa: S311 - reproducible, no secret
        self.now_ms = 1_000
        self.block = ParameterBlock()
        infos = [ChannelInfo(n, kind, 3, 32_000) for n in (1, 2)]
        self.board = SimulatedBoard(infos, now_ms=self.now_ms)
        self.host = self.new_host()
        self.down, self.up = BadLine(rng), BadLine(rng)
        self.host_lives = True
        self.events: list[Event] = []

    def new_host(self, session: int = 77) -> HostLink:
        return HostLink(session, self.block, self.now_ms)

    def tick(self) -> None:
        self.now_ms += 10
        for data in self.down.arrived(self.now_ms):
            self.board.receive_data(data, self.now_ms)
        self.board.handle_timer(self.now_ms)
        self.up.send(self.board.data_to_send(), self.now_ms)
        if not self.host_lives:
            self.up.arrived(self.now_ms)
            return
        for data in self.up.arrived(self.now_ms):
            self.events += self.host.receive_data(data, self.now_ms)
        self.events += self.host.handle_timer(self.now_ms)
        self.down.send(self.host.data_to_send(self.now_ms), self.now_ms)

    def run(self, ms: int) -> None:
        for _ in range(ms // 10):
            self.tick()

    def until(self, what: Callable[[], object], within_ms: int = 10_000) -> int:
        """Milliseconds that it took."""
        began_ms = self.now_ms
        while not what():
            assert self.now_ms - began_ms < within_ms, "it did not come in time"
            self.tick()
        return self.now_ms - began_ms

    def named(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    def report(self, channel: int = 1) -> ChannelReport:
        states = self.named(ChannelState)
        return next(
            each.report
            for each in reversed(states)
            if isinstance(each, ChannelState) and each.report.channel == channel
        )

    def allow(self, limit_ma: int = 16_000, channel: int = 1, *, permit: bool = True) -> None:
        self.host.set_target(Target(channel, permit, limit_ma))

    def charge(self, limit_ma: int = 16_000, channel: int = 1) -> None:
        """Bring a channel to charging."""
        self.board.set_pilot(channel, Pilot.C)
        self.allow(limit_ma, channel)
        self.until(lambda: self.board.contactor_closed(channel))

    def kill_host(self) -> None:
        """The host process is gone between two frames; the line stays."""
        self.host_lives = False

    def restart_host(self) -> None:
        self.host = self.new_host(session=5_000)
        self.host_lives = True


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture(scope="session")
def new_bench() -> type[Bench]:
    return Bench
