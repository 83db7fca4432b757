"""Power cuts: between two synced states any subset of the changed sectors may have arrived."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from baywatt_contract.clock import Instant
from baywatt_edge.journal.model import Row, Stream
from baywatt_edge.journal.opening import open_store
from baywatt_edge.journal.store import Record, row_values

SECTOR = 512
COMMITS = 45
IMAGES_PER_STEP = 3
FILES = ("journal.db", "journal.db-wal")


@dataclass(frozen=True)
class Synced:
    """The files as they lay on the disk when the last sync had returned."""

    files: dict[str, bytes]
    committed: int
    epoch: str


def record(seq: int) -> Record:
    at = Instant(seq, 1, 1_790_000_000_000)
    data = {"bay": "A1" * (1 + seq % 300), "state": "vacant"}
    row = Row(Stream.EVENTS, seq, "BayChanged", 1, at, "", data)
    return Record(rows={Stream.EVENTS: [row_values(row)]}, documents=[("newest", str(seq))])


def history(folder: Path) -> list[Synced]:
    """Commits and checkpoints of a real store, photographed after each."""
    folder.mkdir()
    store, identity = open_store(folder)
    shots: list[Synced] = []

    def shoot(committed: int) -> None:
        files = {name: (folder / name).read_bytes() for name in FILES}
        shots.append(Synced(files, committed, identity.epoch))

    shoot(0)
    for seq in range(1, COMMITS + 1):
        store.apply([record(seq)])
        shoot(seq)
        if seq % 13 == 0:
            store.checkpoint()
            shoot(seq)
    store.close()
    return shots


def torn(before: bytes, after: bytes, dice: random.Random) -> bytes:
    """`before` with a random subset of the sectors that differ in `after`."""
    size = max(len(before), len(after))
    image = bytearray(before.ljust(size, b"\0"))
    share = dice.random()
    end = len(before)
    for start in range(0, size, SECTOR):
        piece = slice(start, min(start + SECTOR, size))
        if after[piece] != before[piece] and dice.random() < share:
            image[piece] = after[piece].ljust(piece.stop - piece.start, b"\0")
            end = max(end, piece.stop)
    return bytes(image[:end])


def seen_after(folder: Path, files: dict[str, bytes], epoch: str) -> int:
    """How many commits a fresh start finds; fails on damage."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    store, identity = open_store(folder)
    try:
        assert identity.epoch == epoch, "the image was taken for corrupt"
        rows = store.rows(Stream.EVENTS, 0, 10_000)
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
        assert (store.document("newest") or 0) == len(rows)
        return len(rows)
    finally:
        store.close()


def test_no_torn_write_loses_a_commit(tmp_path: Path) -> None:
    dice = random.Random(4711)  # noqa: S311 - repeatable, not secret
    shots = history(tmp_path / "original")
    either = set()
    for number, (before, after) in enumerate(pairwise(shots)):
        for image in range(IMAGES_PER_STEP):
            files = {name: torn(before.files[name], after.files[name], dice) for name in FILES}
            seen = seen_after(tmp_path / f"{number}-{image}", files, before.epoch)
            assert before.committed <= seen <= after.committed
            either.add(seen - before.committed)
    assert either == {0, 1}, "the cuts never hit the middle of a commit"


def test_the_harness_can_see_a_loss(tmp_path: Path) -> None:
    """Control: a disk that only pretended to sync the last commits does lose them."""
    shots = history(tmp_path / "original")
    early, late = shots[20], shots[25]
    assert early.committed < late.committed
    assert seen_after(tmp_path / "cut", early.files, late.epoch) < late.committed


@pytest.mark.parametrize("cut", range(0, 4000, 371))
def test_a_wal_cut_at_any_byte_keeps_what_lies_before(tmp_path: Path, cut: int) -> None:
    last = history(tmp_path / "original")[-1]
    wal = last.files["journal.db-wal"]
    files = {**last.files, "journal.db-wal": wal[: max(0, len(wal) - cut)]}
    seen_after(tmp_path / "cut", files, last.epoch)


def test_every_commit_is_synced_before_it_is_acknowledged(tmp_path: Path) -> None:
    """What the photographs above take for granted: WAL with a sync per commit, on each open."""
    for _ in range(2):
        store, _identity = open_store(tmp_path)
        settings = {
            name: store._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "wal_autocheckpoint", "page_size")
        }
        store.close()
        assert settings == {
            "journal_mode": "wal",
            "synchronous": 2,
            "wal_autocheckpoint": 0,
            "page_size": 1024,
        }
