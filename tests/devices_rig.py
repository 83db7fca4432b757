"""What the tests of the devices room share: clocks to turn, ears, and register models."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from baywatt_contract.clock import Instant
from baywatt_contract.observations import ControlTarget, Observation
from baywatt_contract.site_file import Bus, Device
from baywatt_edge.devices.errors import RefusedError
from baywatt_edge.devices.modbus_frames import Request, parse_answer
from baywatt_edge.devices.owner import BusOwner, ModbusDriver
from baywatt_edge.devices.profile import Profile
from baywatt_edge.devices.profile_library import ProfileLibrary
from baywatt_sim.wire.line import LineCore, Pace
from baywatt_sim.wire.link import Link
from baywatt_sim.wire.pdu import ModbusFault, Space, answer
from baywatt_sim.wire.pty_hub import PtyHub
from baywatt_sim.wire.rtu_slave import RtuSlave

O = TypeVar("O")  # noqa: E741 - an observation


class TurnedClock:
    """Time stands still until a test turns it."""

    def __init__(self, mono_ms: int = 1_000) -> None:
        self.mono_ms = mono_ms

    def now(self) -> Instant:
        return Instant(self.mono_ms, 1, 1_790_000_000_000 + self.mono_ms)

    def trust(self, utc_ms: int, source: str) -> None:
        raise AssertionError("a bus owner never sets the clock")

    def turn(self, ms: int) -> Instant:
        self.mono_ms += ms
        return self.now()


class Ears:
    """Collects observations; waits for one that fulfils a condition."""

    def __init__(self) -> None:
        self.heard: list[Observation] = []
        self._news = asyncio.Event()

    def __call__(self, observation: Observation) -> None:
        self.heard.append(observation)
        self._news.set()

    def of(self, kind: type[O]) -> list[O]:
        return [each for each in self.heard if isinstance(each, kind)]

    async def wait(
        self, kind: type[O], when: Callable[[O], bool] = lambda _: True, seconds: float = 5.0
    ) -> O:
        """The first observation of that kind that fulfils `when`, past or to come."""
        seen = 0
        async with asyncio.timeout(seconds):
            while True:
                for each in self.heard[seen:]:
                    seen += 1
                    if isinstance(each, kind) and when(each):
                        return each
                self._news.clear()
                await self._news.wait()

    def forget(self) -> None:
        self.heard.clear()


class Registers:
    """A register model of words; unknown addresses give exception 2."""

    def __init__(self, holding: dict[int, int], inputs: dict[int, int]) -> None:
        self.tables = {Space.HOLDING: holding, Space.INPUT: inputs}
        self.writes: list[tuple[int, tuple[int, ...]]] = []
        self.reads: list[tuple[Space, int, int]] = []

    def read(self, space: Space, address: int, count: int) -> Sequence[int]:
        self.reads.append((space, address, count))
        table = self.tables.get(space, {})
        if any(address + i not in table for i in range(count)):
            raise ModbusFault(2)
        return [table[address + i] for i in range(count)]

    def write(self, space: Space, address: int, values: Sequence[int]) -> None:
        self.writes.append((address, tuple(values)))
        for i, value in enumerate(values):
            self.tables[space][address + i] = value

    def set_float(self, address: int, value: float) -> None:
        words = struct.unpack(">2H", struct.pack(">f", value))
        self.tables[Space.INPUT][address], self.tables[Space.INPUT][address + 1] = words


def meter_model(energy_wh: int = 1_234_567) -> Registers:
    """An SDM with 230 V, 10 A and 6.9 kW."""
    model = Registers({}, dict.fromkeys(range(90), 0))
    for place in range(3):
        model.set_float(2 * place, 230.0)
        model.set_float(6 + 2 * place, 10.0)
        model.set_float(12 + 2 * place, 2300.0)
    model.set_float(52, 6900.0)
    model.set_float(70, 50.0)
    model.set_float(72, energy_wh / 1000)
    return model


def wallbox_model(state: int = 2) -> Registers:
    """A Heidelberg as it comes from the factory, or as a daemon left it while charging."""
    inputs = {4: 0x107, 5: state, 6: 0, 7: 0, 8: 0, 9: 250, 10: 230, 11: 231, 12: 229, 13: 1}
    holding = {257: 15000, 258: 0, 259: 1, 261: 160, 262: 0}
    return Registers(holding, inputs)


def profile(name: str, **modbus: object) -> Profile:
    """A shipped profile with some Modbus manners changed."""
    found = ProfileLibrary().get(name)
    if not modbus:
        return found
    assert found.modbus is not None
    return found.model_copy(update={"modbus": found.modbus.model_copy(update=modbus)})


def device(name: str, unit: int = 1, profile_name: str = "eastron-sdm630") -> Device:
    return Device(id=name, bus="rs485", profile=profile_name, unit=unit)


def target(clock_ms: int, **change: object) -> ControlTarget:
    """A grant of 16 A for ten seconds from `clock_ms`."""
    values: dict[str, object] = {
        "connector_id": 1,
        "permit": True,
        "limit_ma": 16_000,
        "phases": 3,
        "grant_expires_mono_ms": clock_ms + 10_000,
    }
    return ControlTarget(**(values | change))


def ask(driver: ModbusDriver, model: Registers, clock: TurnedClock) -> list[Observation]:
    """One exchange of a driver with a model, without any transport."""
    request: Request = driver.request(clock.now())
    try:
        words = parse_answer(request, answer(model, request.pdu()))
    except RefusedError as error:
        return list(driver.refused(error.code, clock.now()))
    return list(driver.answered(words, clock.now()))


def run_for(
    driver: ModbusDriver, model: Registers | None, clock: TurnedClock, ms: int, step: int = 50
) -> list[Observation]:
    """Let a driver live for `ms` of virtual time; no model: the device is silent."""
    out: list[Observation] = []
    end = clock.mono_ms + ms
    while clock.mono_ms < end:
        out += driver.tick(clock.now())
        want = driver.want(clock.now())
        if want is not None and want.at_ms <= clock.mono_ms:
            if model is None:
                driver.request(clock.now())
                out += driver.silent("no answer", clock.now())
            else:
                out += ask(driver, model, clock)
        clock.turn(step)
    return out


def rtu_bus(**change: object) -> Bus:
    values: dict[str, object] = {"id": "rs485", "kind": "modbus-rtu", "port": "rs485"}
    return Bus.model_validate(values | {"baudrate": 19200, "parity": "E"} | change)


class RtuRig:
    """Slaves on one simulated RS-485 line behind a pty."""

    def __init__(self, root: Path, models: dict[int, Registers], *, paced: bool = False) -> None:
        self.root = root
        self.line = LineCore(pace=Pace(19_200) if paced else None)
        self.links: dict[int, Link] = {}
        self.slaves: dict[int, RtuSlave] = {}
        for unit, model in models.items():
            self.slaves[unit] = RtuSlave(unit, model)
            self.links[unit] = Link(baudrate=19_200)
            self.line.attach(self.slaves[unit], self.links[unit])
        self.hub = PtyHub(root / "rs485", self.line)


@contextlib.asynccontextmanager
async def rtu_rig(
    root: Path, models: dict[int, Registers], *, paced: bool = False
) -> AsyncIterator[RtuRig]:
    rig = RtuRig(root, models, paced=paced)
    rig.hub.open()
    try:
        yield rig
    finally:
        rig.hub.close()


@contextlib.asynccontextmanager
async def running(owner: BusOwner) -> AsyncIterator[list[float]]:
    """The owner's task; yields the moments of its heartbeats."""
    loop = asyncio.get_running_loop()
    beats: list[float] = []
    task = loop.create_task(owner.run(lambda: beats.append(loop.time())))
    try:
        yield beats
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
