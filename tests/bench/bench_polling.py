"""Polling of a meters-only bus, paced at 19,200 baud, beside the line's limit and bare pymodbus.

The limit of one read is 1 / ((request + response bytes) x bits per character / baud + 2 x 3.5
characters). The simulated line runs in a process of its own, as a real one would.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Self

sys.path.insert(0, str(Path(__file__).parents[1]))

from devices_rig import device, meter_model, profile, rtu_bus, rtu_rig, running
from figures import Figure, run
from pymodbus import ModbusException
from pymodbus.client import AsyncModbusSerialClient

from baywatt_contract.observations import MeterReading, Observation
from baywatt_edge.clock import SystemClock
from baywatt_edge.devices.drivers.meter import MeterDriver
from baywatt_edge.devices.modbus_bus import ModbusBus

BAUD = 19_200
BITS = 11
METERS = 4
TIMEOUT_MS = 200
ROUNDS = 3  # of ours and of the peer in turn: the best of each counts
SHARE_AIM = 0.9
SILENT_SHARE = 100 / 11  # % of the line: a device that is only probed rests ten times as long
SHAPES = {"blocks of 76 registers": 80, "blocks of up to 18 registers": 18}


def line_process(root: str, silent: int, ready: Event, stop: Event) -> None:
    """The paced line and its meters."""

    async def serve() -> None:
        models = {unit: meter_model() for unit in range(1, METERS + 1)}
        async with rtu_rig(Path(root), models, paced=True) as rig:
            if silent:
                rig.links[silent].up = False
            ready.set()
            await asyncio.to_thread(stop.wait)

    asyncio.run(serve())


class Line:
    """The simulated line in its own process."""

    def __init__(self, silent: int = 0) -> None:
        context = multiprocessing.get_context("spawn")
        self._folder = tempfile.TemporaryDirectory()
        self._ready, self._stop = context.Event(), context.Event()
        self.root = Path(self._folder.name)
        self._process = context.Process(
            target=line_process, args=(str(self.root), silent, self._ready, self._stop)
        )

    def __enter__(self) -> Self:
        self._process.start()
        if not self._ready.wait(20):
            raise RuntimeError("the simulated line did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._process.join(10)
        self._folder.cleanup()


def limit_s(registers: int) -> float:
    """The least time that one read of so many registers takes on the line."""
    return ((8 + 5 + 2 * registers) + 7) * BITS / BAUD


async def ours(root: Path, seconds: float, max_registers: int) -> Counter[str]:
    """Complete readings by meter, polled as fast as the line allows."""
    counts: Counter[str] = Counter()

    def heard(observation: Observation) -> None:
        if isinstance(observation, MeterReading):
            counts[observation.device_id] += 1

    made = profile(
        "eastron-sdm630", interval_ms=0, max_registers=max_registers, timeout_ms=TIMEOUT_MS
    )
    drivers = [MeterDriver(device(f"m{unit}", unit), made) for unit in range(1, METERS + 1)]
    bus = ModbusBus(rtu_bus(), drivers, SystemClock(1), heard, root)
    async with running(bus):
        await asyncio.sleep(1.0)  # let breakers settle before counting
        counts.clear()
        await asyncio.sleep(seconds)
    return counts


async def bare(root: Path, seconds: float, blocks: list[tuple[int, int]]) -> int:
    """The same blocks read by a plain pymodbus loop without any gap of its own; answers heard."""
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # it dumps frames at each miss
    client = AsyncModbusSerialClient(
        str(root / "rs485"), baudrate=BAUD, timeout=TIMEOUT_MS / 1000, retries=0
    )
    await client.connect()
    end, done = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for unit in range(1, METERS + 1):
            for address, count in blocks:
                with contextlib.suppress(ModbusException):  # late on a busy machine
                    await client.read_input_registers(address, count=count, device_id=unit)
                    done += 1
    client.close()
    return done


async def throughput(name: str, seconds: float, max_registers: int) -> list[Figure]:
    """Reads per second beside the limit and beside pymodbus on the same line, best of rounds."""
    made = profile("eastron-sdm630", max_registers=max_registers)
    blocks = MeterDriver(device("m", 1), made)._polling._blocks
    spans = [(block.address, block.count) for block in blocks]
    rate = peer = 0.0
    with Line() as line:
        for _ in range(ROUNDS):
            readings = await ours(line.root, seconds, max_registers)
            rate = max(rate, sum(readings.values()) * len(spans) / seconds)
            peer = max(peer, await bare(line.root, seconds, spans) / seconds)
    limit = len(spans) / sum(limit_s(count) for _, count in spans)
    met = rate >= SHARE_AIM * limit
    name = f"polling at 19,200 baud, {name}"
    return [
        Figure(name, rate, "reads/s", "the line's limit", limit, f">= {SHARE_AIM:.2f}", met),
        Figure(name, rate, "reads/s", "bare pymodbus, keeps no gap", peer),
    ]


async def silence(seconds: float) -> Figure:
    """What one silent meter costs the other three."""
    with Line() as line:
        healthy = await ours(line.root, seconds, 80)
    with Line(silent=2) as line:
        broken = await ours(line.root, seconds, 80)
    # The silent one's turns fall to the others, so the bus's whole rate is what counts.
    lost = (1 - sum(broken.values()) / sum(healthy.values())) * 100
    return Figure(
        "polling, rate lost to one silent device of four", lost, "%", "its time-out share",
        SILENT_SHARE, "<= its share", lost <= SILENT_SHARE,
    )  # fmt: skip


async def measure(quick: bool) -> list[Figure]:
    """Both shapes of a poll, and a silent device."""
    seconds = 1.5 if quick else 5.0
    figures = []
    for name, size in SHAPES.items():
        figures += await throughput(name, seconds, size)
    return [*figures, await silence(4 * seconds)]


if __name__ == "__main__":
    run(measure, __doc__)
