"""kill -9 at arbitrary moments: what was acknowledged is there, and every sequence is gapless."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from baywatt_edge.journal import Journal, Stream

KILLS = 30

# Imports once and forks per kill: a fresh interpreter each time would take most of the test.
VICTIM = """
import asyncio, os, sys, time
from pathlib import Path
from baywatt_contract.clock import Instant
from baywatt_contract.events import BayChanged, PowerSampled
from baywatt_edge.journal import Journal, NewEvent, Write

def mono():
    return time.monotonic_ns() // 1_000_000

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

async def produce(journal, name):
    while True:
        at = Instant(mono(), journal.boot, 1_790_000_000_000)
        power = [NewEvent(PowerSampled(connector=1), at)] * 2
        journal.submit(Write(power))
        event = NewEvent(BayChanged(bay=name, state="vacant"), at)
        next_seq = journal._next["events"]
        commit = journal.submit(
            Write([event, *power], {"newest": next_seq}, {"ocpp:H-1": next_seq}))
        await commit.done()
        say("ack", commit.rows[0].seq, commit.rows[-1].seq)

async def work():
    journal = await Journal.open(
        Path(sys.argv[1]), "site", quota_bytes=64 << 20, mono_now=mono, hold_telemetry_s=0.01)
    await asyncio.gather(*(produce(journal, f"A{n}") for n in range(4)))

while sys.stdin.readline():
    child = os.fork()
    if child == 0:
        asyncio.run(work())
    say("pid", child)
    os.waitpid(child, 0)
    say("gone")
"""


def spawn(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", VICTIM, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


async def test_thirty_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    dice = random.Random(20_261_122)  # noqa: S311 - repeatable, not secret
    victims = spawn(tmp_path)
    assert victims.stdin is not None
    assert victims.stdout is not None
    epochs: set[str] = set()
    acked_in_all = 0
    for kill in range(KILLS):
        victims.stdin.write("next\n")
        victims.stdin.flush()
        events, telemetry = _kill_one(victims.stdout, acks=dice.randrange(60))
        acked_in_all += events > 0
        journal = await Journal.open(
            tmp_path, "site", quota_bytes=64 << 20, mono_now=lambda: 0, hold_telemetry_s=0.01
        )
        epochs.add(journal.epoch)
        assert journal.boot <= 2 * (kill + 1)
        await _verify(journal, events, telemetry)
        await journal.close()
    victims.stdin.close()
    assert victims.wait(10) == 0
    victims.stdout.close()
    assert len(epochs) == 1
    assert acked_in_all > KILLS // 2


def _kill_one(lines: object, acks: int) -> tuple[int, int]:
    """Kill the child after so many acknowledgements; the highest acknowledged places."""
    events = telemetry = seen = 0
    pid = None
    for line in lines:  # type: ignore[attr-defined]
        word, *numbers = line.split()
        if word == "gone":
            break
        if word == "pid":
            pid = int(numbers[0])
        else:
            seen += 1
            events, telemetry = max(events, int(numbers[0])), max(telemetry, int(numbers[1]))
        if pid is not None and seen >= acks:
            os.kill(pid, signal.SIGKILL)
            acks = 1 << 60
    return events, telemetry


async def _verify(journal: Journal, events: int, telemetry: int) -> None:
    assert journal.last(Stream.EVENTS) >= events
    assert journal.last(Stream.TELEMETRY) >= telemetry
    for stream in Stream:
        rows = await journal.read(stream, 0, 1_000_000)
        assert [row.seq for row in rows] == list(range(1, journal.last(stream) + 1))
    # One transaction each: the document and the cursor are never apart from their event.
    newest = await journal.document("newest") or 0
    assert newest == await journal.cursor("ocpp:H-1") == journal.last(Stream.EVENTS)
