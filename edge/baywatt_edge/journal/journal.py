"""The journal as everybody else sees it: submit, read, follow."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

from baywatt_contract.clock import Instant
from baywatt_contract.events import TelemetryDropped
from baywatt_edge.journal import encode
from baywatt_edge.journal.errors import JournalError, JournalFailedError
from baywatt_edge.journal.files import Ballast, FolderLock
from baywatt_edge.journal.model import FORGET, Commit, NewEvent, Row, Stream, Write
from baywatt_edge.journal.opening import open_store
from baywatt_edge.journal.retention import Policy, read_by_all
from baywatt_edge.journal.store import Identity, Record, Store, Usage
from baywatt_edge.journal.writer import Limits, ReadJob, Report, WriteJob, Writer

log = logging.getLogger(__name__)

HOLD_TELEMETRY_S = 10.0
MIN_QUOTA_BYTES = 256 * 1024
_TIDY_EVERY_MS = 60_000
_TIDY_WHEN_FULL_MS = 1_000

T = TypeVar("T")


class Journal:
    """Rows in order, durable before they are shown, exactly once. Belongs to one event loop."""

    @classmethod
    async def open(
        cls,
        folder: Path,
        site_id: str,
        *,
        quota_bytes: int,
        mono_now: Callable[[], int],
        hold_telemetry_s: float = HOLD_TELEMETRY_S,
    ) -> Self:
        """Open or create the journal in `folder` and count one more boot.

        `quota_bytes` covers all of its files; `mono_now` gives monotonic milliseconds. Raises
        DatabaseNewerError (exit 5) and JournalUnavailableError. A corrupt database is set aside
        with a loud line and a new epoch begins.
        """
        if quota_bytes < MIN_QUOTA_BYTES:
            raise ValueError(f"quota of {quota_bytes} bytes, at least {MIN_QUOTA_BYTES}")
        limits = Limits.of(quota_bytes)
        ballast = Ballast(folder / "ballast", min(limits.reserve, 8 << 20))
        lock = FolderLock(folder)
        try:
            store, identity = await asyncio.to_thread(open_store, folder, ballast)
        except BaseException:
            lock.release()
            raise
        self = cls(site_id, identity, mono_now)
        self._lock = lock
        self._policy = Policy.of(limits.database)
        self._writer = Writer(store, ballast, limits, self._from_thread, hold_telemetry_s)
        self._writer.thread.start()
        return self

    _lock: FolderLock
    _policy: Policy
    _writer: Writer

    def __init__(self, site: str, identity: Identity, mono_now: Callable[[], int]) -> None:
        """Use `open`."""
        self.site = site
        self.epoch = identity.epoch
        self.boot = identity.boot
        self.full = False
        self.failed = asyncio.Event()
        self._failure: JournalFailedError | None = None
        self._closed = False
        self._mono_now = mono_now
        self._loop = asyncio.get_running_loop()
        self._next = {stream: seq + 1 for stream, seq in identity.last.items()}
        self._last = dict(identity.last)
        self._cursors = dict(identity.cursors)
        self._open: deque[_OpenWrite] = deque()
        self._followers: dict[Stream, set[asyncio.Future[None]]] = {s: set() for s in Stream}
        self._latest_at: Instant | None = None
        self._dropped: tuple[int, int] | None = None  # telemetry refused while full
        self._tidy_at = mono_now()
        self._tidying = False
        self._untidied = 0  # rows since the last look at what is stored

    # Writing

    def submit(self, write: Write) -> Commit:
        """Give the write its place and hand it to the disk; never blocks.

        Order of submission is order of commit. Raises JournalFailedError after a failure or
        `close`, EventTooLargeError or ValueError (and changes nothing) for what cannot be stored.
        """
        return self._submit(write, Record())

    def _submit(self, write: Write, record: Record) -> Commit:
        self._guard()
        ahead = dict(self._next)
        rows = [encode.place(event, ahead) for event in write.events]
        record.documents = [encode.document(key, body) for key, body in write.documents.items()]
        record.cursors = [encode.cursor(name, seq) for name, seq in write.cursors.items()]
        dropped = [row for row in rows if self.full and row.stream is Stream.TELEMETRY]
        for row in rows:
            values = encode.values(row)
            if row not in dropped:
                record.rows.setdefault(row.stream, []).append(values)
        self._next = ahead
        if dropped:
            self._note_dropped(dropped[0].seq, dropped[-1].seq)
        if write.events:
            self._latest_at = write.events[-1].at
        self._untidied += len(rows)
        commit = Commit(rows)
        self._hand_over(commit, record, lazy=write.lazy)
        self._tidy()
        return commit

    def _hand_over(self, commit: Commit, record: Record, *, lazy: bool) -> None:
        ends = {stream: values[-1][0] for stream, values in record.rows.items()}
        for stream, floor in record.floors:
            ends[stream] = max(floor, ends.get(stream, 0))
        telemetry_only = set(record.rows) == {Stream.TELEMETRY}
        urgent = not lazy and not (telemetry_only and not record.documents and not record.cursors)
        self._open.append(_OpenWrite(commit, ends, dict(record.cursors)))
        self._writer.put(WriteJob(record, urgent))

    def _note_dropped(self, first: int, last: int) -> None:
        begin = self._dropped[0] if self._dropped else first
        self._dropped = (begin, last)

    def _announce_dropped(self) -> None:
        """Say which telemetry was refused, before any later telemetry is written."""
        if self._dropped is not None and self._latest_at is not None:
            first, last = self._dropped
            self._dropped = None
            self._submit(self._drop_notice(first, last), Record(floors=[(Stream.TELEMETRY, last)]))

    def _drop_notice(self, first: int, last: int) -> Write:
        notice = TelemetryDropped(from_seq=first, to_seq=last)
        return Write(events=[NewEvent(notice, self._now())])

    def _now(self) -> Instant:
        """This moment, carried on from the newest event: the journal has no calendar itself."""
        if self._latest_at is None:
            raise JournalError("no event was submitted in this boot yet")
        return self._latest_at.plus_ms(max(0, self._mono_now() - self._latest_at.mono_ms))

    # Reading

    async def read(self, stream: Stream, after: int, limit: int) -> list[Row]:
        """At most `limit` committed rows behind `after`, in order."""
        return await self._ask(lambda store: store.rows(stream, after, limit))

    async def document(self, key: str) -> Any | None:  # noqa: ANN401 - JSON is any of its types
        """A document's JSON value, None when there is none."""
        return await self._ask(lambda store: store.document(key))

    async def documents(self, prefix: str) -> dict[str, Any]:
        """All documents whose key begins with `prefix`."""
        return await self._ask(lambda store: store.documents(prefix))

    async def cursor(self, name: str) -> int:
        """Where the follower of this name stands, 0 when new. From now on rows are kept for it."""
        return self._cursors.setdefault(name, 0)

    def cursors(self) -> dict[str, int]:
        """Every follower that rows are kept for, and where it stands."""
        return dict(self._cursors)

    def last(self, stream: Stream) -> int:
        """The last committed sequence number, 0 when there is none."""
        return self._last[stream]

    async def wait_beyond(self, stream: Stream, seq: int) -> None:
        """Return once a row behind `seq` is committed; raises JournalFailedError."""
        while self._last[stream] <= seq:
            self._guard()
            turn: asyncio.Future[None] = self._loop.create_future()
            self._followers[stream].add(turn)
            try:
                await turn
            finally:
                self._followers[stream].discard(turn)

    async def _ask(self, ask: Callable[[Store], T]) -> T:
        self._guard()
        future: asyncio.Future[T] = self._loop.create_future()

        def settle(value: T | None, failure: Exception | None) -> None:
            if future.done():
                return
            if failure is not None:
                future.set_exception(failure)
            else:
                future.set_result(value)  # type: ignore[arg-type]

        self._writer.put(ReadJob(ask, lambda *answer: self._call(lambda: settle(*answer))))
        return await future

    # Ending

    async def failure(self) -> JournalFailedError:
        """Wait for the failure that must end the process, and return it."""
        await self.failed.wait()
        return self._failure or JournalFailedError("the journal has failed")

    async def close(self) -> None:
        """Write everything down and let the next daemon in. Safe to call twice."""
        if self._closed:
            return
        if self._failure is None:
            self._announce_dropped()
        self._closed = True
        self._writer.put(None)
        await asyncio.to_thread(self._writer.thread.join)
        await asyncio.sleep(0)  # the thread's last reports stand before us in the loop
        for followers in self._followers.values():
            _wake(followers)
        self._lock.release()

    def _guard(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise JournalFailedError("the journal is closed")

    # What the writer's thread reports

    def _call(self, action: Callable[[], None]) -> None:
        """Run `action` in the loop; a loop that is gone has nobody left to tell."""
        try:
            self._loop.call_soon_threadsafe(action)
        except RuntimeError:
            log.debug("the loop ended before the journal's thread")

    def _from_thread(self, report: Report) -> None:
        self._call(lambda: self._take(report))

    def _take(self, report: Report) -> None:
        for _ in range(report.committed):
            self._committed(self._open.popleft())
        if report.failure is not None:
            self._fail(report.failure)
            return
        was_full, self.full = self.full, report.full
        for stream in {*Stream} if report.committed else ():
            _wake(self._followers[stream])
        if self._closed:
            return
        if was_full and not self.full:
            self._announce_dropped()
        if self.full:
            self._tidy()

    def _committed(self, write: _OpenWrite) -> None:
        for stream, end in write.ends.items():
            self._last[stream] = max(self._last[stream], end)
        for name, seq in write.cursors.items():
            if seq == FORGET:
                self._cursors.pop(name, None)
            else:
                self._cursors[name] = seq
        write.commit.settle(None)

    def _fail(self, failure: JournalFailedError) -> None:
        self._failure = self._failure or failure
        self.failed.set()
        while self._open:
            self._open.popleft().commit.settle(failure)
        for followers in self._followers.values():
            _wake(followers)

    # Keeping within the quota

    def _tidy(self) -> None:
        """Now and then, look at what is stored and trim what may go."""
        due = self._mono_now() >= self._tidy_at or self._untidied >= self._policy.tidy_rows
        if self._tidying or self._latest_at is None or not due:
            return
        self._tidying, self._untidied = True, 0
        utc_ms = self._latest_at.utc_ms
        aged = {stream: utc_ms - keep for stream, keep in self._policy.keep_ms.items()}

        def answer(usage: Usage | None, _: Exception | None) -> None:
            self._call(lambda: self._trim(usage))

        self._writer.put(ReadJob(lambda store: store.usage(aged), answer))

    def _trim(self, usage: Usage | None) -> None:
        self._tidying = False
        self._tidy_at = self._mono_now() + (_TIDY_WHEN_FULL_MS if self.full else _TIDY_EVERY_MS)
        if usage is None or self._closed or self._failure is not None:
            return
        trims = self._policy.plan(usage, self._cursors, full=self.full)
        if not trims:
            return
        if not self.full:
            self._tidy_at = self._mono_now() + _TIDY_WHEN_FULL_MS  # there may be more to trim
        unread = read_by_all(Stream.TELEMETRY, self._cursors, 0) + 1
        first, last = usage.first[Stream.TELEMETRY], trims.get(Stream.TELEMETRY, 0)
        lost = self._drop_notice(max(first, unread), last) if last >= unread else Write()
        self._submit(lost, Record(trims=list(trims.items())))


class _OpenWrite:
    """A write that the disk has not confirmed: what becomes true when it does."""

    __slots__ = ("commit", "cursors", "ends")

    def __init__(self, commit: Commit, ends: dict[Stream, int], cursors: dict[str, int]) -> None:
        self.commit = commit
        self.ends = ends
        self.cursors = cursors


def _wake(followers: set[asyncio.Future[None]]) -> None:
    for follower in followers:
        if not follower.done():
            follower.set_result(None)
    followers.clear()
