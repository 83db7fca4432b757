"""The whole daemon on the simulated harbour site: memory, processor time and start-up.

Thirteen devices on six buses, 1 s polling, CSMS and broker connected, two cars charging. Beside
it a bare pymodbus loop makes the same Modbus reads (eleven of the thirteen devices; nobody plays
the boards and the power module to it) in the same environment, after the daemon has ended.

`--system` measures in the bench's own environment instead of an edge-only one.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from edge_env import EdgeEnv, edge_env, system_env
from figures import Figure, run
from harbour import Harbour, Process, end, harbour

HERE = Path(__file__).parent
MEMORY_AIM_MB, CPU_AIM = 100, 15
_MB = 1_000_000
# The least that any charge point must do before its first message.
_BARE_BOOT = """
import asyncio, json, sys, pydantic, pymodbus.client, aiomqtt, sqlite3
from websockets.asyncio.client import connect
boot = [2, "1", "BootNotification", {"chargePointVendor": "bare", "chargePointModel": "bare"}]
async def main():
    async with connect(sys.argv[1] + "/BARE", subprotocols=["ocpp1.6"]) as line:
        await line.send(json.dumps(boot))
        await line.recv()
asyncio.run(main())
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process took while it was watched."""

    rss_mb: float
    pss_mb: float
    cpu_percent: float


async def watch(process: Process, seconds: float) -> Cost:
    """Processor time over `seconds`, memory at their end."""
    seen = psutil.Process(process.pid)
    before, began = seen.cpu_times(), time.monotonic()
    await asyncio.sleep(seconds)
    after, lasted = seen.cpu_times(), time.monotonic() - began
    if process.returncode is not None:
        raise RuntimeError(f"the watched process ended with {process.returncode}")
    memory = seen.memory_full_info()
    used = after.user + after.system - before.user - before.system
    return Cost(memory.rss / _MB, memory.pss / _MB, used / lasted * 100)


async def cold_start(place: Harbour, env: EdgeEnv) -> tuple[Process, float]:
    """The daemon, and the seconds from its start to its first BootNotification's arrival."""
    place.csms.received.clear()
    began = time.monotonic()
    daemon = await place.spawn_daemon(env.python)
    await place.csms.wait_for("BootNotification", timeout_s=60)
    return daemon, time.monotonic() - began


async def bare_start(place: Harbour, env: EdgeEnv) -> float:
    """The same for the least possible charge point."""
    place.csms.received.clear()
    began = time.monotonic()
    process = await place.spawn("bare-start", str(env.python), "-c", _BARE_BOOT, place.csms.url)
    await place.csms.wait_for("BootNotification", timeout_s=60)
    took = time.monotonic() - began
    await process.wait()
    return took


async def starts(place: Harbour, env: EdgeEnv, rounds: int) -> tuple[Process, float, float]:
    """A running daemon, and the best of its starts and of the bare ones, made in turn.

    The first pair compiles the modules and warms the disk's cache: it does not count.
    """
    ours, bare = [], []
    while True:
        bare.append(await bare_start(place, env))
        daemon, took = await cold_start(place, env)
        ours.append(took)
        if len(ours) > rounds:
            return daemon, min(ours[1:]), min(bare[1:])
        await end(daemon)


async def bare_poll(place: Harbour, env: EdgeEnv, seconds: float) -> Cost:
    """The peer's cost on the buses that the daemon has left."""
    script = str(HERE / "bare_poll.py")
    process = await place.spawn("bare", str(env.python), script, str(place.write_plan()))
    try:
        await asyncio.sleep(3)
        cost = await watch(process, seconds)
    finally:
        await end(process)
    said = json.loads((place.folder / "bare.log").read_text(encoding="utf-8").splitlines()[-1])
    if said["reads"] < seconds or said["failed"] * 20 > said["reads"]:
        raise RuntimeError(f"the bare loop did not poll as it should: {said}")
    return cost


async def measure(quick: bool) -> list[Figure]:
    """The figures; `--system` on the command line chooses the environment."""
    env = system_env() if _SYSTEM else edge_env()
    seconds = 8.0 if quick else 30.0
    with tempfile.TemporaryDirectory(prefix="bench-daemon-") as name:
        async with harbour(Path(name) / "site") as place:
            daemon, start_s, floor_s = await starts(place, env, 2 if quick else 4)
            try:
                await place.steady()
                idle = await watch(daemon, seconds / 2)
                await place.charge(1, 2)
                busy = await watch(daemon, seconds)
            finally:
                await end(daemon)
            bare = await bare_poll(place, env, seconds / 2)
    return _figures(env, idle, busy, bare, start_s, floor_s)


def _figures(
    env: EdgeEnv, idle: Cost, busy: Cost, bare: Cost, start_s: float, floor_s: float
) -> list[Figure]:
    loop = "bare pymodbus loop"
    memory, cpu = f"< {MEMORY_AIM_MB} MB", f"< {CPU_AIM} %"
    return [
        Figure(f"daemon resident memory, {env.label}", busy.rss_mb, "MB", loop, bare.rss_mb,
               memory, met=busy.rss_mb < MEMORY_AIM_MB),
        Figure("daemon proportional memory (PSS)", busy.pss_mb, "MB", loop, bare.pss_mb),
        Figure("daemon processor, idle site", idle.cpu_percent, "% of a core", loop,
               bare.cpu_percent, cpu, met=idle.cpu_percent < CPU_AIM),
        Figure("daemon processor, two cars charging", busy.cpu_percent, "% of a core", loop,
               bare.cpu_percent, cpu, met=busy.cpu_percent < CPU_AIM),
        Figure("daemon start to first BootNotification", start_s, "s",
               "imports and one bare websocket", floor_s),
    ]  # fmt: skip


_SYSTEM = "--system" in sys.argv
if __name__ == "__main__":
    if _SYSTEM:
        sys.argv.remove("--system")
    run(measure, __doc__)
