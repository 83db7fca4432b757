"""Broken storage: at start the file is set aside for a new epoch, at run time the process ends."""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
from pathlib import Path

import pytest

from baywatt_contract.clock import Instant
from baywatt_contract.events import BayChanged
from baywatt_contract.observations import BayState
from baywatt_edge.journal import Journal, JournalFailedError, NewEvent, Stream, Write
from baywatt_edge.journal.store import Store

PAGE = 1024


def dice(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - repeatable, not secret


def set_aside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("journal.db.corrupt-?"))


def bay() -> NewEvent:
    return NewEvent(BayChanged(bay="A1" * 50, state=BayState.VACANT), Instant(0, 1, 1))


async def open_(folder: Path) -> Journal:
    return await Journal.open(folder, "site", quota_bytes=1 << 20, mono_now=lambda: 0)


async def filled(folder: Path) -> str:
    journal = await open_(folder)
    await journal.submit(Write([bay()] * 200, {"k": 1}, {"sync:events": 7})).done()
    await journal.close()
    return journal.epoch


def zero_a_page(content: bytearray, rolls: random.Random) -> None:
    start = PAGE * rolls.randrange(1, len(content) // PAGE)
    content[start : start + PAGE] = bytes(PAGE)


def truncate(content: bytearray, rolls: random.Random) -> None:
    del content[rolls.randrange(PAGE, len(content) - PAGE) :]


def garble(content: bytearray, rolls: random.Random) -> None:
    content[:] = rolls.randbytes(len(content))


def break_the_header(content: bytearray, rolls: random.Random) -> None:
    content[:100] = rolls.randbytes(100)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("damage", [truncate, garble, break_the_header])
async def test_a_broken_file_is_set_aside_and_a_new_epoch_begins(
    tmp_path: Path, damage: object, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    epoch = await filled(tmp_path)
    path = tmp_path / "journal.db"
    content = bytearray(path.read_bytes())
    damage(content, dice(seed))  # type: ignore[operator]
    path.write_bytes(content)
    with caplog.at_level(logging.CRITICAL):
        journal = await open_(tmp_path)
    assert journal.epoch != epoch
    assert (journal.last(Stream.EVENTS), await journal.cursor("sync:events")) == (0, 0)
    assert (tmp_path / "journal.db.corrupt-1").read_bytes() == content
    assert "keep it for salvage" in caplog.text
    await journal.submit(Write([bay()])).done()
    await journal.close()


@pytest.mark.parametrize("seed", range(8))
async def test_a_zeroed_page_never_goes_unnoticed(tmp_path: Path, seed: int) -> None:
    epoch = await filled(tmp_path)
    path = tmp_path / "journal.db"
    content = bytearray(path.read_bytes())
    zero_a_page(content, dice(seed))
    path.write_bytes(content)
    journal = await open_(tmp_path)
    assert journal.epoch != epoch
    await journal.close()


async def test_somebody_elses_database_is_set_aside(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "journal.db") as other:
        other.execute("CREATE TABLE holidays (day TEXT)")
    other.close()
    journal = await open_(tmp_path)
    assert journal.boot == 1
    assert (tmp_path / "journal.db.corrupt-1").exists()
    await journal.close()


async def test_a_dying_card_does_not_fill_itself_with_its_remains(tmp_path: Path) -> None:
    for _ in range(5):
        (tmp_path / "journal.db").write_bytes(b"nonsense" * 1000)
        journal = await open_(tmp_path)
        await journal.close()
    assert set_aside(tmp_path) == [f"journal.db.corrupt-{number}" for number in (3, 4, 5)]


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_CORRUPT])
async def test_a_failed_sync_fails_every_open_commit_and_is_never_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    journal = await open_(tmp_path)
    tried = 0

    def fail(store: Store, records: object) -> None:
        nonlocal tried
        tried += 1
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = code
        raise error

    monkeypatch.setattr(Store, "apply", fail)
    follower = asyncio.create_task(journal.wait_beyond(Stream.EVENTS, 0))
    commit = journal.submit(Write([bay()]))
    with pytest.raises(JournalFailedError, match="the daemon must end"):
        await asyncio.wait_for(commit.done(), 5)
    assert isinstance(await asyncio.wait_for(journal.failure(), 5), JournalFailedError)
    with pytest.raises(JournalFailedError):
        await asyncio.wait_for(follower, 5)
    with pytest.raises(JournalFailedError):
        journal.submit(Write([bay()]))
    await journal.close()
    assert tried == 1
