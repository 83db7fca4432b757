"""The relay: carries domain events from the outbox to their subscribers, at least once."""

from __future__ import annotations

import logging

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.kit.db import Database
from baywatt_cloud.kit.domain import Subscriber, subscribers
from baywatt_cloud.kit.workers import unbroken
from baywatt_cloud.models.outbox import Delivery, DomainEvent

_log = logging.getLogger(__name__)
_FIRST_RETRY_MS = 1_000
_LAST_RETRY_MS = 600_000
_POLL_S = 1.0  # finds what another process wrote; own commits wake the relay at once


def retry_after_ms(attempts: int) -> int:
    """Back-off before the next attempt: doubling from one second to ten minutes."""
    return min(_LAST_RETRY_MS, _FIRST_RETRY_MS << min(attempts, 20))


async def run(database: Database) -> None:
    """Deliver for ever; a failing subscriber delays only itself."""
    while True:
        seen = database.changed.count
        if not await unbroken(deliver_due(database)):
            await database.changed.wait_beyond(seen, _POLL_S)


async def deliver_due(database: Database, limit: int = 100) -> int:
    """Deliver what is due, at most `limit` per subscriber; returns how many went well."""
    served = [each for each in subscribers() if each.handler is not None]
    return sum([await _deliver_to(database, each, limit) for each in served])


async def _deliver_to(database: Database, subscriber: Subscriber, limit: int) -> int:
    now_ms = database.clock()
    async with database.read() as db:
        due = await db.scalars(
            select(Delivery.event_id)
            .where(Delivery.subscriber == subscriber.name, Delivery.done_ms.is_(None))
            .where(Delivery.next_ms <= now_ms)
            .order_by(Delivery.event_id)
            .limit(limit)
        )
        ids = list(due)
    done = 0
    for event_id in ids:
        done += await _deliver_one(database, subscriber, event_id)
    return done


async def _deliver_one(database: Database, subscriber: Subscriber, event_id: int) -> bool:
    handler = subscriber.handler
    if handler is None:
        return False
    try:
        async with database.write() as db:
            delivery = await _claim(db, subscriber.name, event_id)
            if delivery is None:
                return False
            event = await db.get_one(DomainEvent, event_id)
            await handler(db, event)
            delivery.done_ms = database.clock()
            delivery.error = ""
    except Exception as error:  # noqa: BLE001 - a subscriber's bug must not stop the others
        await _postpone(database, subscriber.name, event_id, error)
        return False
    return True


async def _claim(db: AsyncSession, name: str, event_id: int) -> Delivery | None:
    """The open delivery, locked; None when another relay has it or has done it."""
    found: Delivery | None = await db.scalar(
        select(Delivery)
        .where(Delivery.event_id == event_id, Delivery.subscriber == name)
        .where(Delivery.done_ms.is_(None))
        .with_for_update(skip_locked=True)
    )
    return found


async def _postpone(database: Database, name: str, event_id: int, error: Exception) -> None:
    async with database.write() as db:
        delivery = await _claim(db, name, event_id)
        if delivery is None:
            return
        delivery.attempts += 1
        delivery.error = f"{type(error).__name__}: {error}"[:1000]
        delivery.next_ms = database.clock() + retry_after_ms(delivery.attempts)
        level = logging.WARNING if delivery.attempts == 1 else logging.DEBUG
    _log.log(level, "%s failed on domain event %d, will retry", name, event_id, exc_info=error)
