"""A process with one station, to be killed: writes a whole session at its first start."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from random import Random

from ocpp_helpers import STATION, FakeHouse, authorised, connector, sampled, started, stopped

from baywatt_contract.site_file import Authority, Station
from baywatt_edge.clock import SystemClock
from baywatt_edge.journal import Journal, NewEvent, Stream, Write
from baywatt_edge.ocpp import BackOffRule, OcppStation

SAMPLES = 30


async def main(folder: Path, url: str) -> None:
    """Run until killed."""
    journal = await Journal.open(
        folder,
        "harbour",
        quota_bytes=64 << 20,
        mono_now=lambda: time.monotonic_ns() // 1_000_000,
    )
    clock = SystemClock(journal.boot)
    if journal.last(Stream.EVENTS) == 0:
        samples = [sampled("s1", 1, energy_wh=5001 + number) for number in range(SAMPLES)]
        rows = [authorised("s1", 1), started("s1", 1), *samples, stopped("s1", 1)]
        await journal.submit(Write(events=[NewEvent(row, clock.now()) for row in rows])).done()
    connectors = [connector(1)]
    station = OcppStation(
        Station(id=STATION, csms=url),
        connectors,
        Authority(),
        journal=journal,
        house=FakeHouse(clock, connectors),
        clock=clock,
        program_version="1.2.3",
        rng=Random(1),  # noqa: S311 - jitter
        back_off=BackOffRule(minimum_s=0.05, random_s=0.01),
    )
    (run,) = station.tasks().values()
    await run(lambda: None)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
