"""The journal's promises, one by one."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from baywatt_contract.clock import Instant
from baywatt_contract.events import BayChanged, PowerSampled, TelemetryDropped
from baywatt_contract.observations import BayState
from baywatt_edge.journal import (
    FORGET,
    DatabaseNewerError,
    EventTooLargeError,
    Journal,
    JournalFailedError,
    JournalInUseError,
    JournalUnavailableError,
    NewEvent,
    Stream,
    Write,
)

QUOTA = 1 << 20
Opener = Callable[..., Awaitable[Journal]]


def at(ms: int = 0) -> Instant:
    return Instant(ms, 1, 1_790_000_000_000 + ms)


def bay(name: str = "A1", ms: int = 0) -> NewEvent:
    return NewEvent(BayChanged(bay=name, state=BayState.OCCUPIED), at(ms), trace="t-1")


def power(watts: int = 1, ms: int = 0) -> NewEvent:
    return NewEvent(PowerSampled(connector=1, power_w=watts), at(ms))


def set_aside(folder: Path) -> list[Path]:
    return list(folder.glob("*.corrupt-*"))


@pytest.fixture
async def opener(tmp_path: Path) -> AsyncIterator[Opener]:
    opened: list[Journal] = []

    async def open_(folder: Path = tmp_path, **options: object) -> Journal:
        settings = {"quota_bytes": QUOTA, "mono_now": lambda: 0, "hold_telemetry_s": 0.05}
        journal = await Journal.open(folder, "harbour", **{**settings, **options})
        opened.append(journal)
        return journal

    yield open_
    for journal in opened:
        await journal.close()


async def test_rows_have_their_places_at_once_and_are_read_when_committed(opener: Opener) -> None:
    journal = await opener()
    commit = journal.submit(Write([bay("A1", 5), power(7), bay("A2")]))
    assert [(row.stream, row.seq) for row in commit.rows] == [
        (Stream.EVENTS, 1),
        (Stream.TELEMETRY, 1),
        (Stream.EVENTS, 2),
    ]
    assert journal.last(Stream.EVENTS) == 0
    await commit.done()
    assert journal.last(Stream.EVENTS) == 2
    rows = await journal.read(Stream.EVENTS, 0, 10)
    assert rows == [commit.rows[0], commit.rows[2]]
    assert rows[0].payload() == BayChanged(bay="A1", state=BayState.OCCUPIED)
    event = rows[0].to_event(journal.site, journal.epoch)
    assert event.id == f"harbour:{journal.epoch}:1"
    assert (event.time, event.mono_ms, event.trace) == ("2026-09-21T14:13:20.005Z", 5, "t-1")


async def test_everything_survives_a_restart_and_the_boot_counts(opener: Opener) -> None:
    first = await opener()
    first.submit(Write([bay()], {"state:x": {"a": [1, None]}, "other": 1}, {"ocpp:H-1": 1}))
    first.submit(Write([power()]))
    await first.close()
    second = await opener()
    assert (second.epoch, second.boot) == (first.epoch, first.boot + 1)
    assert await second.document("state:x") == {"a": [1, None]}
    assert await second.documents("state:") == {"state:x": {"a": [1, None]}}
    assert await second.cursor("ocpp:H-1") == 1
    assert await second.cursor("ocpp:H-2") == 0
    assert second.submit(Write([bay(), power()])).rows[1].seq == 2


async def test_none_deletes_a_document_and_forget_a_cursor(opener: Opener) -> None:
    journal = await opener()
    await journal.submit(Write((), {"k": 1}, {"c": 5})).done()
    await journal.submit(Write((), {"k": None}, {"c": FORGET})).done()
    assert await journal.document("k") is None
    assert await journal.cursor("c") == 0


async def test_wait_beyond_returns_with_the_commit(opener: Opener) -> None:
    journal = await opener()
    waiting = asyncio.create_task(journal.wait_beyond(Stream.EVENTS, 1))
    await journal.submit(Write([bay()])).done()
    assert not waiting.done()
    await journal.submit(Write([bay()])).done()
    await asyncio.wait_for(waiting, 5)


async def test_telemetry_is_held_and_rides_along_with_the_next_event(opener: Opener) -> None:
    journal = await opener(hold_telemetry_s=3600)
    held = journal.submit(Write([power()]))
    assert await journal.read(Stream.TELEMETRY, 0, 10) == []
    await journal.submit(Write([bay()])).done()
    await asyncio.wait_for(held.done(), 5)
    assert len(await journal.read(Stream.TELEMETRY, 0, 10)) == 1


async def test_held_telemetry_goes_by_itself_in_the_end(opener: Opener) -> None:
    journal = await opener(hold_telemetry_s=0.01)
    await asyncio.wait_for(journal.submit(Write([power()])).done(), 5)


@pytest.mark.parametrize(
    ("write", "error"),
    [
        (Write([bay("A1"), NewEvent(bay().payload, at(), trace="x" * 65)]), ValueError),
        (Write([bay()], {"k": float("nan")}), ValueError),
        (Write([bay()], {"k": object()}), TypeError),
        (Write([bay()], {"": 1}), ValueError),
        (Write([bay()], {"\ud800": 1}), ValueError),
        (Write([NewEvent(bay().payload, at(), trace="\ud800")]), ValueError),
        (Write([NewEvent(bay().payload, at(-1))]), ValueError),
        (Write([bay()], {}, {"c": -2}), ValueError),
        (Write([bay()] * 2, {"k": "x" * (9 << 20)}), ValueError),
    ],
)
async def test_what_cannot_be_stored_changes_nothing(
    opener: Opener, write: Write, error: type[Exception]
) -> None:
    journal = await opener()
    with pytest.raises(error):
        journal.submit(write)
    assert journal.submit(Write([bay()])).rows[0].seq == 1


async def test_an_event_too_large_for_any_batch_is_refused(opener: Opener) -> None:
    class Huge(BayChanged):
        more: str

    journal = await opener()
    huge = Huge(bay="A1", state=BayState.VACANT, more="x" * 60_000)
    with pytest.raises(EventTooLargeError, match=r"Huge of 6\d+ bytes, at most 60000"):
        journal.submit(Write([NewEvent(huge, at())]))


async def test_a_second_daemon_is_told_who_is_in_the_way(opener: Opener) -> None:
    await opener()
    with pytest.raises(JournalInUseError, match="in use by another process"):
        await opener()


async def test_an_unusable_folder_is_one_clear_line(opener: Opener, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalUnavailableError, match="correct `\\[storage\\] path`"):
        await opener(tmp_path / "file" / "journal")


async def test_a_database_of_a_newer_program_is_left_alone(opener: Opener, tmp_path: Path) -> None:
    first = await opener()
    await first.close()
    with sqlite3.connect(tmp_path / "journal.db") as database:
        database.execute("UPDATE schema_version SET version = 99")
    database.close()
    with pytest.raises(DatabaseNewerError, match="has schema 99, this program knows 1"):
        await opener()
    assert not set_aside(tmp_path)


async def test_after_close_nothing_is_accepted(opener: Opener) -> None:
    journal = await opener()
    follower = asyncio.create_task(journal.wait_beyond(Stream.EVENTS, 0))
    await asyncio.sleep(0)
    await journal.close()
    with pytest.raises(JournalFailedError):
        journal.submit(Write([bay()]))
    with pytest.raises(JournalFailedError):
        await asyncio.wait_for(follower, 5)


async def test_unread_telemetry_beyond_its_share_is_dropped_and_announced(opener: Opener) -> None:
    journal = await opener()
    await journal.cursor("sync:telemetry")
    for number in range(3000):
        commit = journal.submit(Write([power(number, number)]))
        if number % 100 == 99:
            commit = journal.submit(Write([bay("A1", number)]))
            await commit.done()
    await asyncio.wait_for(commit.done(), 5)
    await journal.close()  # so that no trim falls between the two reads
    journal = await opener()
    notices = [
        row.payload()
        for row in await journal.read(Stream.EVENTS, 0, 5000)
        if row.type == "TelemetryDropped"
    ]
    assert notices
    left = await journal.read(Stream.TELEMETRY, 0, 5000)
    announced: list[int] = []
    for notice in notices:
        assert isinstance(notice, TelemetryDropped)
        announced += range(notice.from_seq, notice.to_seq + 1)
    assert announced + [row.seq for row in left] == list(range(1, 3001))


async def test_events_are_trimmed_only_when_delivered_and_old(opener: Opener) -> None:
    now = [0]
    journal = await opener(mono_now=lambda: now[0])
    month = 31 * 86_400_000
    for cursor in (2, 3):
        await journal.submit(
            Write([bay(), bay()], {}, {"ocpp:H-1": cursor, "sync:events": 4})
        ).done()
    now[0] = month
    await journal.submit(Write([bay("A1", month)])).done()  # makes it look
    await journal.documents("")  # … and both have happened
    await journal.submit(Write([bay("A1", month)])).done()
    assert [row.seq for row in await journal.read(Stream.EVENTS, 0, 10)] == [4, 5, 6]
