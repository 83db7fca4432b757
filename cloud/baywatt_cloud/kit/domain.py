"""Domain events: written with the change that made them, delivered at least once afterwards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.kit.clock import UtcClock
from baywatt_cloud.models.outbox import Delivery, DomainEvent

Handler = Callable[[AsyncSession, DomainEvent], Awaitable[None]]
"""Called in a transaction of its own, which also marks the delivery; an exception rolls both back
and the delivery is tried again later. Must tolerate the same event twice only if it has effects
outside this database."""


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Who wants to hear what; `types` None means every event.

    Without a handler the subscriber fetches its deliveries itself (the MQTT downlink does).
    """

    name: str
    types: frozenset[str] | None
    handler: Handler | None

    def wants(self, event_type: str) -> bool:
        """Whether this subscriber gets events of the type."""
        return self.types is None or event_type in self.types


_subscribers: dict[str, Subscriber] = {}


def subscribe(name: str, types: Iterable[str] | None, handler: Handler | None) -> None:
    """Register under a name that stays the same for ever: deliveries are kept by it.

    A second registration of the name replaces the first. Events emitted before the first
    registration are not delivered to it.
    """
    _subscribers[name] = Subscriber(name, None if types is None else frozenset(types), handler)


def unsubscribe(name: str) -> None:
    """Forget a subscriber; its open deliveries wait until it is back."""
    _subscribers.pop(name, None)


def subscribers() -> list[Subscriber]:
    """All subscribers, in the order of registration."""
    return list(_subscribers.values())


async def emit(
    db: AsyncSession, context: str, event_type: str, data: dict[str, Any], *, trace: str = ""
) -> DomainEvent:
    """Write a domain event and its deliveries in the caller's transaction.

    `context` is the module (`charging`), `event_type` the name (`ChargingCompleted`); both become
    levels of the MQTT topic `baywatt/v1/domain/{context}/{event}`. `data` is JSON.
    """
    clock: UtcClock = db.info["clock"]
    now_ms = clock()
    event = DomainEvent(context=context, type=event_type, data=data, trace=trace, time_ms=now_ms)
    db.add(event)
    await db.flush()
    db.add_all(
        Delivery(event_id=event.id, subscriber=each.name, next_ms=now_ms)
        for each in subscribers()
        if each.wants(event_type)
    )
    return event
