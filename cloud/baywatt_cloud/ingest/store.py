"""Batches into the inbox: checked at the border, inserted once, the stream's cursor moved."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.ingest.errors import RefusedBatchError
from baywatt_cloud.ingest.ranges import Range, SeqRanges
from baywatt_cloud.models import InboxEvent, InboxState, StreamCursor
from baywatt_contract.clock import parse_utc_ms
from baywatt_contract.envelope import Event
from baywatt_contract.topics import UpTopic

MAX_SEQ = 2**53
MAX_ISLANDS = 2000
_MAX_EPOCH = 64


def check(site_id: str, events: Sequence[Event]) -> str:
    """The epoch of a batch; raises RefusedBatchError if it cannot be this site's honest batch."""
    if not events:
        raise RefusedBatchError("an empty batch")
    epoch = events[0].epoch
    if len(epoch) > _MAX_EPOCH or "\x00" in epoch:
        raise RefusedBatchError("the epoch is longer than 64 characters")
    for event in events:
        if event.site != site_id:
            raise RefusedBatchError(f"an event of site {event.site!r} on the topic of {site_id!r}")
        if event.epoch != epoch:
            raise RefusedBatchError("two epochs in one batch")
        if not 1 <= event.seq <= MAX_SEQ or max(event.mono_ms, event.boot) > MAX_SEQ:
            raise RefusedBatchError(f"a number of event {event.id!r} is out of range")
        if "\x00" in event.type + event.trace:
            raise RefusedBatchError(f"a NUL character in event {event.id!r}")
    return epoch


def to_row(site_id: str, stream: UpTopic, event: Event, now_ms: int) -> dict[str, Any]:
    """The inbox row of an event; what no database could store is kept as text and parked."""
    data, error = _storable(event.data)
    try:
        time_ms = parse_utc_ms(event.time)
    except ValueError:
        time_ms, error = now_ms, f"time {event.time[:40]!r} is no RFC 3339 stamp"
    session = data.get("session")
    waiting = InboxState.WAITING if stream is UpTopic.EVENTS else InboxState.STORED
    return {
        "site_id": site_id,
        "stream": stream,
        "epoch": event.epoch,
        "seq": event.seq,
        "type": event.type,
        "v": event.v,
        "time_ms": time_ms,
        "mono_ms": event.mono_ms,
        "boot": event.boot,
        "clock": event.clock,
        "trace": event.trace,
        "data": data,
        "session_id": session if isinstance(session, str) and 0 < len(session) <= 36 else None,
        "state": waiting,
        "error": error,
        "received_ms": now_ms,
    }


def _storable(data: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """JSON that PostgreSQL takes: no NUL, no lone surrogate, no NaN."""
    try:
        text = json.dumps(data, ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError as error:
        return {"raw": json.dumps(data)}, f"data cannot be stored: {error}"
    if "\\u0000" in text:
        return {"raw": json.dumps(data)}, "data holds a NUL character"
    return data, None


async def insert_new(db: AsyncSession, rows: Sequence[dict[str, Any]]) -> set[int]:
    """Insert what is not there yet; returns the sequence numbers that were new."""
    dialect = db.get_bind().dialect.name
    make = postgres_insert if dialect == "postgresql" else sqlite_insert
    statement = make(InboxEvent).on_conflict_do_nothing().returning(InboxEvent.seq)
    unique = {row["seq"]: row for row in rows}
    result = await db.scalars(statement, list(unique.values()))
    return set(result)


async def locked_cursor(
    db: AsyncSession, site_id: str, stream: UpTopic, epoch: str, now_ms: int
) -> StreamCursor:
    """The stream's cursor, locked until the transaction ends; made when it is the first."""
    key = (site_id, str(stream), epoch)
    cursor = await db.get(StreamCursor, key, with_for_update=True)
    if cursor is not None:
        return cursor
    dialect = db.get_bind().dialect.name
    make = postgres_insert if dialect == "postgresql" else sqlite_insert
    values = {"upto": 0, "islands": [], "changed_ms": now_ms}
    await db.execute(
        make(StreamCursor)
        .values(site_id=site_id, stream=stream, epoch=epoch, **values)
        .on_conflict_do_nothing()
    )
    await _close_older_epochs(db, site_id, stream, epoch)
    return await db.get_one(StreamCursor, key, with_for_update=True)


async def _close_older_epochs(db: AsyncSession, site_id: str, stream: UpTopic, epoch: str) -> None:
    """A new epoch means that the old database is gone: what waits for its gaps waits in vain."""
    await db.execute(
        update(InboxEvent)
        .where(InboxEvent.site_id == site_id, InboxEvent.stream == stream)
        .where(InboxEvent.epoch != epoch, InboxEvent.state == InboxState.WAITING)
        .values(state=InboxState.PARKED, error="the site lost earlier events of this epoch")
        .execution_options(synchronize_session=False)
    )


def move(
    cursor: StreamCursor, now_ms: int, seqs: set[int], ranges: Sequence[Range] = ()
) -> SeqRanges:
    """Add what arrived to the cursor; raises RefusedBatchError if it becomes too ragged."""
    have = SeqRanges(cursor.upto, tuple((first, last) for first, last in cursor.islands))
    have = have.with_seqs(seqs).with_ranges(ranges)
    if len(have.islands) > MAX_ISLANDS:
        raise RefusedBatchError(f"more than {MAX_ISLANDS} gaps in one stream: send in order")
    cursor.upto = have.upto
    cursor.islands = [list(island) for island in have.islands]
    cursor.changed_ms = now_ms
    return have


async def ready(db: AsyncSession, cursor: StreamCursor, limit: int) -> list[InboxEvent]:
    """The next events to apply: waiting, with everything before them here, in order."""
    rows = await db.scalars(
        select(InboxEvent)
        .where(InboxEvent.site_id == cursor.site_id, InboxEvent.stream == cursor.stream)
        .where(InboxEvent.epoch == cursor.epoch, InboxEvent.state == InboxState.WAITING)
        .where(InboxEvent.seq <= cursor.upto)
        .order_by(InboxEvent.seq)
        .limit(limit)
    )
    return list(rows)
