"""The safety-board driver against the simulated board on a real pty."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tty
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random

import pytest

from baywatt_bridge.messages import ChannelInfo
from baywatt_bridge.vocabulary import ChannelKind
from baywatt_contract.clock import Instant
from baywatt_contract.observations import (
    ConnectorObserved,
    ControlTarget,
    LinkChanged,
    Observation,
    Pilot,
    TokenSwiped,
)
from baywatt_contract.site_file import Bus, BusKind, Connector, Device
from baywatt_edge.clock import SystemClock
from baywatt_edge.devices.board import BoardBus
from baywatt_sim.board import SimulatedBoard

FOR_EVER = 10**12
UID = bytes.fromhex("04A1B2C3")
WAIT_S = 15


class ShiftedClock(SystemClock):
    """The real clock with a lead that a test can turn."""

    lead_ms = 0

    def now(self) -> Instant:
        return super().now().plus_ms(self.lead_ms)


class Rig:
    """A board behind a link to a pty, the driver on the near side, and what it emitted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = ShiftedClock(boot=1)
        self.board_lead_ms = 0
        infos = [ChannelInfo(n, ChannelKind.AC_SOCKET, 3, 32_000) for n in (1, 2)]
        self.board = SimulatedBoard(infos, now_ms=self.board_now())
        self.seen: list[Observation] = []
        self.beats = 0
        self.loss = 0.0
        self.rng = Random(7)  # noqa: S311 - reproducible loss, no secret
        self.changed = asyncio.Event()
        self.bus = self.new_bus()
        self.driver: asyncio.Task[None] | None = None
        self.far: int | None = None
        self.power: asyncio.Task[None] | None = None

    def board_now(self) -> int:
        return SystemClock(boot=1).now().mono_ms + self.board_lead_ms

    def new_bus(self) -> BoardBus:
        bus = Bus(id="line", kind=BusKind.SERIAL, port="run/board", baudrate=115200)
        device = Device(id="board-1", bus="line", profile="baywatt-board")
        connectors = [
            Connector(
                id=10 + n, station="S", evse=n, plug="type2-socket", control="board-1",
                control_channel=n, max_a=32,
            )
            for n in (1, 2)
        ]  # fmt: skip
        return BoardBus(bus, device, connectors, 6000, self.clock, self.emit, self.root)

    def emit(self, observation: Observation) -> None:
        self.seen.append(observation)
        self.changed.set()

    def beat(self) -> None:
        self.beats += 1

    # --- the line ---

    def plug_in_line(self) -> None:
        far, near = os.openpty()
        tty.setraw(near)
        os.set_blocking(far, False)
        link = self.root / "run" / "board"
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(near))
        self.far = far
        self.power = asyncio.create_task(self._shuttle(far, near))

    async def pull_line(self) -> None:
        assert self.power is not None
        self.power.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.power

    async def _shuttle(self, far: int, near: int) -> None:
        """Keeps the near side open as well, so that a closed driver is no hang-up."""
        try:
            while True:
                with contextlib.suppress(BlockingIOError):
                    data = os.read(far, 4096)
                    self.board.receive_data(self._lossy(data), self.board_now())
                self.board.handle_timer(self.board_now())
                with contextlib.suppress(BlockingIOError):
                    os.write(far, self._lossy(self.board.data_to_send()))
                self.changed.set()
                await asyncio.sleep(0.005)
        finally:
            os.close(near)
            os.close(far)

    def _lossy(self, data: bytes) -> bytes:
        frames = data.split(b"\x00")
        return b"\x00".join(f for f in frames if not f or self.rng.random() >= self.loss)

    # --- the driver ---

    def start(self) -> None:
        self.driver = asyncio.create_task(self.bus.run(self.beat))

    async def kill(self) -> None:
        if self.driver is not None:
            self.driver.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.driver
            self.driver = None

    def allow(self, connector: int, limit_ma: int = 16_000, **more: object) -> None:
        fields: dict[str, object] = {"grant_expires_mono_ms": FOR_EVER, **more}
        self.bus.control(ControlTarget(connector, True, limit_ma, 3, **fields))  # type: ignore[arg-type]

    # --- waiting for the thing ---

    async def until(self, what: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not what():
                self.changed.clear()
                await self.changed.wait()

    async def up(self) -> None:
        await self.until(lambda: self.links()[-1:] == [True])

    def links(self) -> list[bool]:
        return [each.up for each in self.seen if isinstance(each, LinkChanged)]

    def last(self, connector: int) -> ConnectorObserved | None:
        mine = (
            each
            for each in reversed(self.seen)
            if isinstance(each, ConnectorObserved) and each.connector_id == connector
        )
        return next(mine, None)

    def tokens(self) -> list[tuple[int, str]]:
        return [(e.connector_id, e.token) for e in self.seen if isinstance(e, TokenSwiped)]

    async def charging(self, connector: int = 11) -> None:
        self.board.set_pilot(connector - 10, Pilot.C)
        await self.up()
        self.allow(connector)
        await self.until(lambda: (o := self.last(connector)) and o.contactor_closed)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path)
    rig.plug_in_line()
    yield rig
    await rig.kill()
    await rig.pull_line()


async def test_a_vehicle_is_charged_and_stopped(rig: Rig) -> None:
    rig.start()
    await rig.charging()
    seen = rig.last(11)
    assert seen is not None
    assert (seen.pilot, seen.locked, seen.offered_ma) == (Pilot.C, True, 16_000)
    assert (seen.cable_max_ma, seen.host_lost, seen.faults) == (32_000, False, frozenset())
    rig.board.set_pilot(1, Pilot.B)
    await rig.until(lambda: (o := rig.last(11)) and o.contactor_closed is False)
    assert rig.beats > 0
