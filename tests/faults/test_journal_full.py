"""A full disk is a state: events still go, telemetry gives way and is announced, then it heals."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from baywatt_contract.clock import Instant
from baywatt_contract.events import BayChanged, PowerSampled
from baywatt_contract.observations import BayState
from baywatt_edge.journal import Journal, JournalUnavailableError, NewEvent, Stream, Write

QUOTA = 1 << 20
DISK = 2 << 20


def mono_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def bay(size: int = 1) -> NewEvent:
    state = BayState.OCCUPIED
    at = Instant(mono_ms(), 1, 1_790_000_000_000 + mono_ms())
    return NewEvent(BayChanged(bay="A" * min(size, 500), state=state), at)


def power() -> NewEvent:
    at = Instant(mono_ms(), 1, 1_790_000_000_000 + mono_ms())
    return NewEvent(PowerSampled(connector=1), at)


async def until(met: Callable[[], object], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not met():
            await asyncio.sleep(0.005)


async def open_(folder: Path, quota: int = QUOTA) -> Journal:
    return await Journal.open(
        folder, "site", quota_bytes=quota, mono_now=mono_ms, hold_telemetry_s=0.02
    )


def size_of(folder: Path) -> int:
    """All bytes in the folder, but for the WAL's index, which no quota can foresee."""
    return sum(each.stat().st_size for each in folder.iterdir() if not each.name.endswith("-shm"))


async def check_streams(journal: Journal) -> None:
    """Every telemetry row is either there or announced as dropped, once."""
    events = await journal.read(Stream.EVENTS, 0, 1_000_000)
    numbers = [row.seq for row in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    accounted = [row.seq for row in await journal.read(Stream.TELEMETRY, 0, 1_000_000)]
    for row in events:
        if row.type == "TelemetryDropped":
            accounted += range(row.data["from"], row.data["to"] + 1)
    assert sorted(accounted) == list(range(1, journal.last(Stream.TELEMETRY) + 1))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(place)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("this machine does not let us mount a small tmpfs")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
async def journal(disk: Path) -> AsyncIterator[Journal]:
    opened = await open_(disk / "journal")
    yield opened
    await opened.close()


class Filler:
    """Somebody else's file that takes all the space there is."""

    def __init__(self, disk: Path) -> None:
        self.path = disk / "filler"

    def fill(self) -> None:
        with self.path.open("ab", buffering=0) as file:
            for size in (65536, 4096, 512):
                try:
                    while file.write(b"x" * size):
                        pass
                except OSError:
                    continue

    def free(self) -> None:
        os.truncate(self.path, 0)


async def test_events_still_commit_from_the_ballast_and_it_heals(
    journal: Journal, disk: Path
) -> None:
    filler = Filler(disk)
    await journal.submit(Write([bay(), power()])).done()
    filler.fill()
    written = 0
    async with asyncio.timeout(20):
        while not journal.full:
            await journal.submit(Write([bay(400), power()])).done()
            written += 1
    for _ in range(10):
        await asyncio.wait_for(journal.submit(Write([bay(), power()])).done(), 5)
    refused = journal.submit(Write([power()]))
    await asyncio.wait_for(refused.done(), 5)
    assert journal.last(Stream.EVENTS) >= written + 11
    assert not journal.failed.is_set()
    filler.free()
    await until(lambda: not journal.full, 5)
    await journal.submit(Write([bay(), power()])).done()
    await journal.close()
    again = await open_(disk / "journal")
    await check_streams(again)
    await again.close()


async def test_when_even_the_ballast_is_gone_writes_wait_and_reads_go_on(
    journal: Journal, disk: Path
) -> None:
    filler = Filler(disk)
    commit = journal.submit(Write([bay()]))
    await commit.done()
    async with asyncio.timeout(20):
        while True:
            filler.fill()
            commit = journal.submit(Write([bay(500)] * 20))
            try:
                await asyncio.wait_for(commit.done(), 0.3)
            except TimeoutError:
                break
    assert journal.full
    assert len(await asyncio.wait_for(journal.read(Stream.EVENTS, 0, 5), 5)) == 5
    filler.free()
    await asyncio.wait_for(commit.done(), 5)
    await until(lambda: not journal.full, 5)
    assert not journal.failed.is_set()


async def test_a_site_comes_up_again_on_a_full_disk(journal: Journal, disk: Path) -> None:
    await journal.submit(Write([bay()])).done()
    await journal.close()
    filler = Filler(disk)
    filler.fill()
    again = await open_(disk / "journal")
    await asyncio.wait_for(again.submit(Write([bay()])).done(), 5)
    await until(lambda: again.full, 5)
    assert (again.epoch, again.boot) == (journal.epoch, 2)
    filler.free()
    await until(lambda: not again.full, 5)
    await again.close()


async def test_without_any_ballast_a_full_disk_is_one_clear_line(disk: Path) -> None:
    Filler(disk).fill()
    with pytest.raises(JournalUnavailableError, match="full"):
        await open_(disk)


async def test_the_quota_bounds_all_files_and_gives_way_when_rows_are_delivered(
    tmp_path: Path,
) -> None:
    journal = await open_(tmp_path)
    await journal.cursor("sync:events")
    async with asyncio.timeout(30):
        while not journal.full:
            await journal.submit(Write([bay(500)] * 20 + [power()] * 5)).done()
    for _ in range(5):
        await asyncio.wait_for(journal.submit(Write([bay()])).done(), 5)
    assert size_of(tmp_path) <= QUOTA * 1.1
    rows = await journal.read(Stream.EVENTS, 0, 1)
    assert rows[0].seq == 1, "an undelivered event was dropped"
    everything = journal.last(Stream.EVENTS)
    await journal.submit(Write(cursors={"sync:events": everything})).done()
    await until(lambda: not journal.full)
    await journal.close()
    again = await open_(tmp_path)
    assert again.last(Stream.EVENTS) >= everything
    assert not again.full
    await again.close()
