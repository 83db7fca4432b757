"""Durable events per second and bytes per event, beside what the disk itself can do.

Rounds of ours and of the anchor alternate; the best of each counts. Only the ratios mean anything
on a shared machine.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

import aiosqlite
from figures import Figure, run

from baywatt_contract.clock import Instant
from baywatt_contract.events import MeterSampled
from baywatt_edge.journal import Journal, NewEvent, Write

PRODUCERS = (1, 16, 64)
ROUNDS = 3
RECORD_BYTES = 264
EVENTS_PER_DAY = 8 * 8640  # one each ten seconds from each of eight connectors
WEAR_AIM_MB = 200


def mono_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def sample(boot: int) -> NewEvent:
    at = Instant(mono_ms(), boot, 1_790_000_000_000)
    payload = MeterSampled(
        session="5f3f7e1e-8d3c-4b51-9a7e-2f0f1f6a9d11",
        connector=1,
        energy_wh=123_456,
        power_w=7_360,
    )
    return NewEvent(payload, at)


def appends_per_s(folder: Path, seconds: float) -> float:
    """Append and fdatasync, one record each: the physical limit of one commit per sync."""
    fd = os.open(folder / "anchor", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    count, end = 0, time.monotonic() + seconds
    begin = time.monotonic()
    while time.monotonic() < end:
        os.write(fd, b"x" * RECORD_BYTES)
        os.fdatasync(fd)
        count += 1
    rate = count / (time.monotonic() - begin)
    os.close(fd)
    return rate


async def events_per_s(folder: Path, producers: int, seconds: float) -> float:
    """So many tasks, each waiting for its own commit before the next event."""
    journal = await Journal.open(folder, "bench", quota_bytes=1 << 30, mono_now=mono_ms)
    end = time.monotonic() + seconds
    count = 0

    async def produce() -> None:
        nonlocal count
        while time.monotonic() < end:
            await journal.submit(Write([sample(journal.boot)])).done()
            count += 1

    begin = time.monotonic()
    await asyncio.gather(*(produce() for _ in range(producers)))
    rate = count / (time.monotonic() - begin)
    await journal.close()
    return rate


async def aiosqlite_per_s(folder: Path, producers: int, seconds: float) -> float:
    """The peer: the same row through aiosqlite, one durable commit each."""
    async with aiosqlite.connect(folder / f"peer-{producers}.db", isolation_level=None) as peer:
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            await peer.execute(f"PRAGMA {pragma}")
        await peer.execute("CREATE TABLE IF NOT EXISTS e (seq INTEGER PRIMARY KEY, type, data)")
        end = time.monotonic() + seconds
        count = 0

        async def produce() -> None:
            nonlocal count
            while time.monotonic() < end:
                data = sample(1).payload.model_dump_json()
                await peer.execute("INSERT INTO e (type, data) VALUES ('MeterSampled', ?)", [data])
                count += 1

        begin = time.monotonic()
        await asyncio.gather(*(produce() for _ in range(producers)))
        return count / (time.monotonic() - begin)


async def bytes_per_event(folder: Path, together: int, events: int = 2000) -> float:
    """What this process really wrote (the kernel's count), per event in transactions of a size."""
    journal = await Journal.open(folder, "bench", quota_bytes=1 << 30, mono_now=mono_ms)
    before = written_bytes()
    for _ in range(events // together):
        await journal.submit(Write([sample(journal.boot) for _ in range(together)])).done()
    await journal.close()  # with its checkpoint
    return (written_bytes() - before) / events


def written_bytes() -> int:
    """Bytes this process handed to write calls since it began."""
    for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(": ")
        if key == "wchar":
            return int(value)
    return 0


async def measure(quick: bool) -> list[Figure]:
    """All figures in a folder of its own."""
    seconds = 0.3 if quick else 1.0
    with tempfile.TemporaryDirectory(prefix="bench-journal-", dir=os.environ.get("TMPDIR")) as name:
        return [*await speed(Path(name), seconds), *await wear(Path(name))]


async def speed(folder: Path, seconds: float) -> list[Figure]:
    """Interleaved rounds of anchor, ours and the peer."""
    anchor = 0.0
    best = dict.fromkeys(PRODUCERS, 0.0)
    peer = dict.fromkeys(PRODUCERS, 0.0)
    for number in range(ROUNDS):
        anchor = max(anchor, appends_per_s(folder, seconds))
        for count in PRODUCERS:
            ours = await events_per_s(folder / f"{number}-{count}", count, seconds)
            best[count] = max(best[count], ours)
            peer[count] = max(peer[count], await aiosqlite_per_s(folder, count, seconds))
    figures = []
    for count, rate in best.items():
        name = f"journal, durable events, {count} producers"
        figures += [
            Figure(name, rate, "1/s", "append + fdatasync", anchor),
            Figure(name, rate, "1/s", "aiosqlite", peer[count]),
        ]
    return figures


async def wear(folder: Path) -> list[Figure]:
    """MB written per day, each event alone and ten at a time, beside the bare records."""
    figures = []
    for together in (1, 10):
        size = await bytes_per_event(folder / f"size-{together}", together)
        per_day_mb = size * EVENTS_PER_DAY / 1e6
        name = f"journal, written by 8 busy connectors, {together} per commit"
        bare_mb = RECORD_BYTES * EVENTS_PER_DAY / 1e6
        met = per_day_mb <= WEAR_AIM_MB
        aim = f"<= {WEAR_AIM_MB} MB"
        figures.append(Figure(name, per_day_mb, "MB/day", "the records alone", bare_mb, aim, met))
    return figures


if __name__ == "__main__":
    run(measure, __doc__)
