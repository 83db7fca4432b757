"""The journal's only thread: takes what is there, makes it durable in one go, reports.

Group commit by draining: while one sync runs, the next writes gather. Nothing waits on purpose,
except telemetry, which rides along with the next urgent write or goes after a few seconds.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from baywatt_edge.journal.errors import JournalFailedError
from baywatt_edge.journal.faults import Fault, classify
from baywatt_edge.journal.files import Ballast
from baywatt_edge.journal.store import PAGE_BYTES, Record, Store

log = logging.getLogger(__name__)

RETRY_S = 1.0
_COMMIT_WEIGHT = 4 * PAGE_BYTES  # the pages that a commit touches beside its rows' own bytes


@dataclass(slots=True)
class WriteJob:
    """A record on its way; `urgent` unless it holds telemetry only."""

    record: Record
    urgent: bool


@dataclass(slots=True)
class ReadJob:
    """A question to the store, answered between two commits."""

    ask: Callable[[Store], Any]
    answer: Callable[[Any, Exception | None], None]  # called on the writer's thread


@dataclass(frozen=True, slots=True)
class Limits:
    """How large things may grow, in bytes."""

    database: int  # the file's everyday size limit
    reserve: int  # what it may grow beyond, once full
    wal: int  # the WAL is carried over after this much

    @property
    def roomy(self) -> int:
        """Below this the file is not full any more (lower than the limit, so it cannot flap)."""
        return self.database * 9 // 10

    @classmethod
    def of(cls, quota_bytes: int) -> Limits:
        """A quota covers database, reserve, ballast and WAL together."""
        part = quota_bytes // 16
        return cls(database=quota_bytes - 4 * part, reserve=part, wal=min(part, 4 << 20))


@dataclass(slots=True)
class Report:
    """What the thread tells the loop after it did something."""

    committed: int = 0  # so many of the oldest open writes
    full: bool = False
    failure: JournalFailedError | None = None


class Writer:
    """Runs a Store on a thread of its own. Everything here but `put` belongs to that thread."""

    def __init__(
        self,
        store: Store,
        ballast: Ballast,
        limits: Limits,
        report: Callable[[Report], None],
        hold_s: float,
    ) -> None:
        self._store = store
        self._ballast = ballast
        self._limits = limits
        self._report = report
        self._hold_s = hold_s
        self._queue: queue.SimpleQueue[WriteJob | ReadJob | None] = queue.SimpleQueue()
        self._pending: list[Record] = []
        self._reads: list[ReadJob] = []
        self._flush_at: float | None = None
        self._space_at = 0.0
        self._wal_bytes = 0
        self._full = False
        self._stopping = False
        self._failed = False
        self.thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def put(self, job: WriteJob | ReadJob | None) -> None:
        """Hand over a job, from any thread; None ends the thread after what came before."""
        self._queue.put(job)

    def _run(self) -> None:
        try:
            self._update_space()
            while not self._stopping:
                self._turn()
            self._shut()
        except Exception as error:  # the thread's top: nobody else would ever learn of it
            log.exception("the journal's writer ended")
            self._fail(error)
            self._serve_reads()

    def _turn(self) -> None:
        self._gather()
        if self._flush_at is not None and time.monotonic() >= self._flush_at:
            self._flush()
        self._serve_reads()
        if self._full and not self._failed and time.monotonic() >= self._space_at:
            self._update_space()

    def _gather(self) -> None:
        """Wait for a job or the next deadline, then take everything that is there."""
        try:
            self._take(self._queue.get(timeout=self._patience()))
            while True:
                self._take(self._queue.get_nowait())
        except queue.Empty:
            pass

    def _patience(self) -> float | None:
        deadlines = [at for at in (self._flush_at,) if at is not None]
        if self._full and not self._failed:
            deadlines.append(self._space_at)
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _take(self, job: WriteJob | ReadJob | None) -> None:
        now = time.monotonic()
        if job is None:
            self._stopping = True
            self._flush_at = now
        elif isinstance(job, ReadJob):
            self._reads.append(job)
        else:
            self._pending.append(job.record)
            wanted = now if job.urgent else now + self._hold_s
            self._flush_at = wanted if self._flush_at is None else min(self._flush_at, wanted)

    def _flush(self) -> None:
        self._flush_at = None
        if self._failed or not self._pending:
            return
        try:
            self._store.apply(self._pending)
        except sqlite3.Error as error:
            self._recover(error)
            return
        self._wal_bytes += sum(record.weight() for record in self._pending) + _COMMIT_WEIGHT
        count = len(self._pending)
        self._pending.clear()
        self._report(Report(committed=count, full=self._full))
        self._carry_over()

    def _carry_over(self) -> None:
        if self._wal_bytes < self._limits.wal:
            return
        try:
            self._store.checkpoint()
            self._wal_bytes = 0
        except sqlite3.Error as error:
            self._recover(error)

    def _recover(self, error: sqlite3.Error) -> None:
        fault = classify(error)
        if fault is Fault.FULL:
            retry_s = self._make_room(error)
        elif fault is Fault.BUSY:
            log.warning("the journal waits for another process that holds its file")
            retry_s = RETRY_S
        else:
            self._fail(error)
            return
        if self._pending:
            self._flush_at = time.monotonic() + retry_s

    def _make_room(self, error: sqlite3.Error) -> float:
        """Enter the full state; how long to wait before the next attempt."""
        self._space_at = time.monotonic() + RETRY_S
        if self._full:
            self._report(Report(full=True))
            return RETRY_S
        self._full = True
        log.warning(
            "the journal's disk is full (%s): no new session until there is room; the reserve "
            "lets running ones end. Free space or raise `[storage] quota_mb`",
            error,
        )
        self._ballast.release()
        self._store.set_limit(self._limits.database + self._limits.reserve)
        self._report(Report(full=True))
        return 0.0

    def _update_space(self) -> None:
        """Hold the ballast whenever the disk and the quota allow it: that ends the full state."""
        self._space_at = time.monotonic() + RETRY_S
        was_full = self._full
        roomy = self._store.used_bytes() <= self._limits.roomy
        self._full = not (roomy and not self._pending and self._ballast.hold())
        if not self._full:
            self._store.set_limit(self._limits.database)
        if was_full and not self._full:
            log.warning("the journal has room again")
        if was_full or self._full:
            self._report(Report(full=self._full))

    def _fail(self, error: Exception) -> None:
        self._failed = True
        self._flush_at = None
        self._pending.clear()
        text = f"the journal's storage failed: {error}; the daemon must end, then check the disk"
        log.critical("%s", text)
        self._report(Report(full=self._full, failure=JournalFailedError(text)))

    def _serve_reads(self) -> None:
        reads, self._reads = self._reads, []
        for job in reads:
            try:
                job.answer(job.ask(self._store), None)
            except sqlite3.Error as error:
                failure = JournalFailedError(f"the journal cannot be read: {error}")
                job.answer(None, failure)
                if classify(error) is not Fault.BUSY:
                    self._fail(error)

    def _shut(self) -> None:
        """Write what is left once more; what a full disk still refuses is lost and said so."""
        self._flush()
        if self._pending and self._flush_at is not None:
            self._flush()
        if self._pending:
            self._fail(OSError("closed while the disk was full"))
        self._serve_reads()
        self._store.close()
