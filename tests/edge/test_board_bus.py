"""The safety-board driver against the simulated board on a real pty."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tty
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from baywatt_bridge.messages import ChannelInfo
from baywatt_bridge.vocabulary import ChannelKind, HostLoss
from baywatt_contract.clock import Instant
from baywatt_contract.observations import (
    ConnectorObserved,
    ControlTarget,
    FaultCode,
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
        self.heard_ms = 0  # when the last bytes of a host came, by the board's clock
        self.noise = b""

    def board_now(self) -> int:
        return SystemClock(boot=1).now().mono_ms + self.board_lead_ms

    def new_bus(self, channels: tuple[int, ...] = (1, 2)) -> BoardBus:
        bus = Bus(id="line", kind=BusKind.SERIAL, port="run/board", baudrate=115200)
        device = Device(id="board-1", bus="line", profile="baywatt-board")
        connectors = [
            Connector(
                id=10 + n, station="S", evse=n, plug="type2-socket", control="board-1",
                control_channel=n, max_a=32,
            )
            for n in channels
        ]  # fmt: skip
        return BoardBus(bus, device, connectors, 6000, self.clock, self.emit, self.root)

    def emit(self, observation: Observation) -> None:
        self.seen.append(observation)
        self.changed.set()

    def beat(self) -> None:
        self.beats += 1
        self.changed.set()

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
                    self.heard_ms = self.board_now()
                    self.board.receive_data(self._lossy(data), self.board_now())
                self.board.handle_timer(self.board_now())
                with contextlib.suppress(BlockingIOError):
                    os.write(far, self.noise + self._lossy(self.board.data_to_send()))
                    self.noise = b""
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

    async def restart(self) -> None:
        """The daemon dies and comes back with no memory."""
        await self.kill()
        self.seen.clear()
        self.bus = self.new_bus()
        self.start()

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

    def details(self) -> list[str]:
        return [each.detail for each in self.seen if isinstance(each, LinkChanged)]

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


async def test_a_restart_of_the_daemon_does_not_interrupt_a_charge(rig: Rig) -> None:
    rig.start()
    await rig.charging()
    await rig.restart()
    await rig.up()
    await rig.until(lambda: rig.last(11))
    await rig.until(lambda: rig.board.offered_ma(1) == 6_000)  # nobody has decided for 1 s
    assert rig.board.contactor_closed(1)
    await rig.until(lambda: (o := rig.last(11)) and o.host_lost and o.offered_ma == 6_000)
    rig.allow(11)
    await rig.until(lambda: (o := rig.last(11)) and not o.host_lost)
    assert all(
        each.contactor_closed
        for each in rig.seen
        if isinstance(each, ConnectorObserved) and each.connector_id == 11
    )


async def test_a_wish_for_one_connector_leaves_the_other_charging_after_a_restart(
    rig: Rig,
) -> None:
    rig.start()
    await rig.charging(11)
    await rig.charging(12)
    await rig.restart()
    await rig.up()
    rig.allow(12)
    await rig.until(lambda: rig.board.offered_ma(1) == 6_000)
    assert rig.board.contactor_closed(1)
    assert rig.board.offered_ma(2) == 16_000


DAEMON = """
import asyncio, pathlib, sys
from baywatt_contract.observations import ControlTarget
from baywatt_contract.site_file import Bus, BusKind, Connector, Device
from baywatt_edge.clock import SystemClock
from baywatt_edge.devices.board import BoardBus
bus = Bus(id="line", kind=BusKind.SERIAL, port="run/board", baudrate=115200)
device = Device(id="board-1", bus="line", profile="baywatt-board")
plug = Connector(id=11, station="S", evse=1, plug="type2-socket", control="board-1", max_a=32)
owner = BoardBus(
    bus, device, [plug], 6000, SystemClock(boot=1), lambda seen: None, pathlib.Path(sys.argv[1])
)
owner.control(ControlTarget(11, True, 16000, 3, 10**12))
asyncio.run(owner.run(lambda: None))
"""


async def test_kill_9_of_a_daemon_while_charging_falls_to_the_safe_current(rig: Rig) -> None:
    rig.board.set_pilot(1, Pilot.C)
    daemon = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DAEMON, str(rig.root),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    try:
        await rig.until(lambda: rig.board.contactor_closed(1))
        assert rig.board.offered_ma(1) == 16_000
    finally:
        daemon.kill()
        await daemon.wait()
    await rig.until(lambda: rig.board.offered_ma(1) != 16_000)
    fell_after_ms = rig.board_now() - rig.heard_ms
    assert rig.board.offered_ma(1) == 6_000
    assert rig.board.contactor_closed(1)
    assert 1_000 <= fell_after_ms <= 2_000
    rig.start()  # the port that the dead process had locked is free
    await rig.up()
    rig.allow(11)
    await rig.until(lambda: rig.board.host_lost(1) is HostLoss.PRESENT)
    assert rig.board.contactor_closed(1)


async def test_a_line_that_goes_and_comes_back_is_one_outage(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.start()
    await rig.charging()
    await rig.pull_line()
    await rig.until(lambda: rig.links() == [True, False])
    beats = rig.beats
    await rig.until(lambda: rig.beats > beats + 1)
    rig.plug_in_line()
    await rig.until(lambda: rig.links() == [True, False, True])
    await rig.until(lambda: rig.board.host_lost(1) is HostLoss.PRESENT)
    assert rig.board.contactor_closed(1)
    warnings = [each for each in caplog.records if each.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "board board-1 on bus line is down: port" in warnings[0].getMessage()


async def test_a_port_that_does_not_exist_is_named_with_the_fix_and_awaited(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    (rig.root / "run" / "board").unlink()
    rig.start()
    await rig.until(lambda: rig.links() == [False])
    assert "run/board does not exist: check `port`" in rig.details()[0]
    assert not rig.bus.health()[0].up
    await rig.pull_line()
    rig.plug_in_line()
    await rig.up()
    assert len([each for each in caplog.records if each.levelname == "WARNING"]) == 1


async def test_a_silent_board_is_reported_with_what_to_check(rig: Rig) -> None:
    rig.board.power(on=False)
    rig.start()
    await rig.until(lambda: rig.links() == [False])
    assert "check the board's power, cable and baudrate" in rig.details()[0]
    rig.board.power(on=True)
    await rig.up()
    assert rig.bus.health()[0].detail == "BAYWATT-SIM SIM-0001, firmware 1.0.0"


async def test_a_reset_of_the_board_is_seen_and_the_charge_goes_on(rig: Rig) -> None:
    rig.start()
    await rig.charging()
    rig.board.power_cycle()
    assert not rig.board.contactor_closed(1)
    await rig.until(lambda: rig.links() == [True, False, True])
    await rig.until(lambda: rig.board.contactor_closed(1))
    assert rig.details()[1] == "the board was reset"
    assert rig.bus.health()[0].last["boots"] == 2


async def test_a_grant_that_runs_out_falls_to_the_fail_safe_and_no_further(rig: Rig) -> None:
    rig.start()
    await rig.charging()
    soon_ms = rig.clock.now().mono_ms + 300
    rig.allow(11, grant_expires_mono_ms=soon_ms)
    await rig.until(lambda: (o := rig.last(11)) and o.offered_ma == 6_000)
    seen = rig.last(11)
    assert seen is not None
    assert seen.observed_at.mono_ms >= soon_ms
    assert (seen.contactor_closed, seen.host_lost) == (True, False)


async def test_a_connector_is_reported_at_least_once_a_second(rig: Rig) -> None:
    rig.start()
    await rig.up()
    rig.allow(11)
    await rig.until(lambda: len([e for e in rig.seen if isinstance(e, ConnectorObserved)]) >= 7)
    times = [
        e.observed_at.mono_ms
        for e in rig.seen
        if isinstance(e, ConnectorObserved) and e.connector_id == 11
    ]
    assert all(later - sooner <= 2_000 for sooner, later in pairwise(times))


async def test_no_swipe_is_lost_with_a_fifth_of_the_frames_lost(rig: Rig) -> None:
    rig.start()
    await rig.up()
    rig.loss = 0.2
    for number in range(5):
        rig.board.swipe(1 + number % 2, UID[:3] + bytes([number]))
        await rig.until(lambda: len(rig.tokens()) == number + 1)  # noqa: B023 - awaited here
    assert rig.tokens() == [(11 + n % 2, f"04A1B2{n:02X}") for n in range(5)]


async def test_a_latched_fault_is_reported_and_cleared_by_a_person(rig: Rig) -> None:
    rig.start()
    await rig.charging()
    rig.board.set_fault(1, FaultCode.RESIDUAL_CURRENT, active=True)
    rig.board.set_fault(1, FaultCode.RESIDUAL_CURRENT, active=False)
    await rig.until(lambda: (o := rig.last(11)) and o.faults)
    seen = rig.last(11)
    assert seen is not None
    assert seen.faults == {FaultCode.RESIDUAL_CURRENT}
    assert (seen.pilot, seen.contactor_closed, seen.offered_ma) == (Pilot.F, False, 0)
    rig.bus.clear_latch(11)
    await rig.until(lambda: (o := rig.last(11)) and o.contactor_closed)


async def test_unlock_works_once_although_the_target_is_repeated(rig: Rig) -> None:
    rig.board.set_pilot(1, Pilot.B)
    rig.start()
    await rig.up()
    rig.allow(11)
    await rig.until(lambda: (o := rig.last(11)) and o.locked)
    rig.allow(11, unlock=True)
    await rig.until(lambda: (o := rig.last(11)) and o.locked is False)
    rig.board.set_pilot(1, Pilot.A)
    rig.board.set_pilot(1, Pilot.B)
    rig.allow(11, unlock=True)
    await rig.until(lambda: (o := rig.last(11)) and o.locked)
    rig.allow(11, unlock=False)
    rig.allow(11, unlock=True)
    await rig.until(lambda: (o := rig.last(11)) and o.locked is False)


async def test_noise_is_counted_and_changes_nothing(rig: Rig) -> None:
    rig.start()
    await rig.charging()
    for _ in range(20):
        rig.noise += rig.rng.randbytes(200)
    await rig.until(lambda: rig.bus.health()[0].crc_errors > 0)
    requests = rig.bus.health()[0].requests
    await rig.until(lambda: rig.bus.health()[0].requests > requests + 5)
    assert rig.links() == [True]
    health = rig.bus.health()[0]
    assert health.up
    assert 0 < health.latency_p50_ms <= health.latency_p99_ms


async def test_a_connector_without_a_channel_on_the_board_is_named(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.bus = rig.new_bus(channels=(1, 3))
    rig.start()
    await rig.up()
    assert "no channel 3 for connector 13" in rig.details()[0]
    assert "check control_channel of connector 13" in caplog.text


async def test_a_target_for_a_foreign_connector_is_refused(rig: Rig) -> None:
    with pytest.raises(KeyError):
        rig.allow(99)


async def test_a_board_of_another_protocol_is_named_with_the_fix_even_after_an_outage(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baywatt_bridge.board_core.MAJOR", 2)
    (rig.root / "run" / "board").unlink()
    rig.start()
    await rig.until(lambda: rig.links() == [False])
    await rig.pull_line()
    rig.plug_in_line()
    await rig.until(lambda: len(rig.links()) == 2)
    assert rig.links() == [False, False]
    assert "update the board's firmware" in rig.details()[1]
    assert "update the board's firmware" in caplog.text
    assert rig.bus.health()[0].detail == rig.details()[1]
