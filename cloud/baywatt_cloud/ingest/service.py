"""One message of a site: checked, stored, applied, committed; returns what to acknowledge."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.ingest import store
from baywatt_cloud.ingest.apply import apply_all
from baywatt_cloud.ingest.errors import RefusedBatchError
from baywatt_cloud.ingest.presence import note_presence
from baywatt_cloud.ingest.ranges import Range, SeqRanges
from baywatt_cloud.kit.services import Services
from baywatt_cloud.models import InboxEvent, Site, StreamCursor
from baywatt_contract.clock import format_utc_ms
from baywatt_contract.envelope import BadPayloadError, Event, unpack, unpack_events
from baywatt_contract.events import TelemetryDropped
from baywatt_contract.messages import Ack, Live, Presence
from baywatt_contract.topics import UpTopic

_log = logging.getLogger(__name__)
_APPLY_AT_ONCE = 1000
_STREAMS = (UpTopic.EVENTS, UpTopic.TELEMETRY)


class Ingest:
    """Takes messages of sites. Safe to run many times at once: cursors are locked per stream."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._database = services.database
        self._warned: Counter[tuple[str, str]] = Counter()

    async def take(self, site_id: str, leaf: UpTopic, payload: bytes) -> list[Ack]:
        """Handle one message; returns what may be acknowledged now that it is committed.

        A message that is refused at the border is dropped with a counted log line. Raises
        SQLAlchemy's OperationalError when the database is down: nothing may be acknowledged.
        """
        try:
            if leaf in _STREAMS:
                return await self._batch(site_id, leaf, unpack_events(payload))
            if leaf is UpTopic.LIVE:
                live = Live.model_validate(unpack(payload))
                self._services.hub.publish(site_id, live, self._services.clock())
            else:
                await self._presence(site_id, Presence.model_validate(unpack(payload)))
        except (BadPayloadError, ValidationError, RefusedBatchError) as error:
            self._refuse(site_id, leaf, error)
        return []

    async def _batch(self, site_id: str, stream: UpTopic, events: Sequence[Event]) -> list[Ack]:
        epoch = store.check(site_id, events)
        now_ms = self._services.clock()
        rows = [store.to_row(site_id, stream, event, now_ms) for event in events]
        async with self._database.write() as db:
            site = await self._site(db, site_id)
            site.heard_ms = now_ms
            cursor = await store.locked_cursor(db, site_id, stream, epoch, now_ms)
            new = await store.insert_new(db, rows)
            acks = [_ack(cursor, store.move(cursor, now_ms, new), now_ms)]
            acks += await self._dropped_telemetry(db, site_id, epoch, events, now_ms)
            applied, left = await self._apply(db, site, cursor, now_ms)
        outcomes = self._services.metrics.events
        outcomes.labels("new").inc(len(new))
        outcomes.labels("duplicate").inc(len(events) - len(new))
        while left:
            async with self._database.write() as db:
                site = await self._site(db, site_id)
                cursor = await store.locked_cursor(db, site_id, stream, epoch, now_ms)
                applied, left = await self._apply(db, site, cursor, now_ms)
        if applied:
            self._services.hub.poke(site_id)
        return acks

    async def _site(self, db: AsyncSession, site_id: str) -> Site:
        site = await db.get(Site, site_id)
        if site is None:
            raise RefusedBatchError(
                f"site {site_id!r} is not known here: run `baywatt-cloud site add {site_id}`"
            )
        return site

    async def _apply(
        self, db: AsyncSession, site: Site, cursor: StreamCursor, now_ms: int
    ) -> tuple[int, bool]:
        if cursor.stream != UpTopic.EVENTS:
            return 0, False
        events: list[InboxEvent] = await store.ready(db, cursor, _APPLY_AT_ONCE)
        parked = await apply_all(db, site, events, now_ms)
        self._services.metrics.events.labels("parked").inc(parked)
        return len(events), len(events) == _APPLY_AT_ONCE

    async def _dropped_telemetry(
        self, db: AsyncSession, site_id: str, epoch: str, events: Sequence[Event], now_ms: int
    ) -> list[Ack]:
        """Ranges of telemetry that the site dropped will never come: they count as arrived."""
        ranges = [found for event in events if (found := _dropped_range(event))]
        if not ranges:
            return []
        cursor = await store.locked_cursor(db, site_id, UpTopic.TELEMETRY, epoch, now_ms)
        return [_ack(cursor, store.move(cursor, now_ms, set(), ranges), now_ms)]

    async def _presence(self, site_id: str, presence: Presence) -> None:
        async with self._database.write() as db:
            site = await self._site(db, site_id)
            await note_presence(db, site, presence, self._services.clock())
        self._services.hub.poke(site_id)

    def _refuse(self, site_id: str, leaf: UpTopic, error: Exception) -> None:
        why = type(error).__name__
        self._services.metrics.refused.labels(why).inc()
        self._warned[site_id, why] += 1
        level = logging.WARNING if self._warned[site_id, why] == 1 else logging.DEBUG
        count = self._warned[site_id, why]
        _log.log(level, "dropped a message on %s of site %r (%d so far): %s",
                 leaf, site_id, count, error)  # fmt: skip


def _ack(cursor: StreamCursor, have: SeqRanges, now_ms: int) -> Ack:
    return Ack(
        stream="events" if cursor.stream == UpTopic.EVENTS else "telemetry",
        epoch=cursor.epoch,
        upto=have.upto,
        missing=have.missing(),
        now=format_utc_ms(now_ms),
    )


def _dropped_range(event: Event) -> Range | None:
    if event.type != TelemetryDropped.type_name():
        return None
    try:
        dropped = TelemetryDropped.from_data(event.data)
    except ValidationError:
        return None  # stored and parked like any event that does not fit
    fits = 1 <= dropped.from_seq <= dropped.to_seq <= store.MAX_SEQ
    return (dropped.from_seq, dropped.to_seq) if fits else None
