"""Domain events reach every subscriber at least once, in order, and nobody delays anybody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from baywatt_cloud.kit import domain, relay
from baywatt_cloud.kit.db import Database
from baywatt_cloud.models import Delivery, DomainEvent, Secret


class Listener:
    """A subscriber that writes something, and fails on demand."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.fail = False

    async def handle(self, db: Any, event: DomainEvent) -> None:
        self.heard.append(event.data["n"])
        db.add(Secret(name=f"heard-{event.data['n']}", value=event.type))
        await db.flush()
        if self.fail:
            raise RuntimeError("not today")


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    domain.subscribe("test-listener", ["Happened"], made.handle)
    yield made
    domain.unsubscribe("test-listener")


async def emit(database: Database, n: int, event_type: str = "Happened") -> None:
    async with database.write() as db:
        await domain.emit(db, "test", event_type, {"n": n})


async def effects(database: Database) -> list[str]:
    async with database.read() as db:
        return sorted(await db.scalars(select(Secret.name).where(Secret.name.like("heard-%"))))


async def test_events_are_delivered_once_in_order(database: Database, listener: Listener) -> None:
    for n in range(3):
        await emit(database, n)
    await emit(database, 9, "SomethingElse")
    assert await relay.deliver_due(database) == 3
    assert await relay.deliver_due(database) == 0
    assert listener.heard == [0, 1, 2]


async def test_an_event_of_a_rolled_back_change_never_existed(
    database: Database, listener: Listener
) -> None:
    async def change() -> None:
        async with database.write() as db:
            await domain.emit(db, "test", "Happened", {"n": 1})
            raise KeyError

    with pytest.raises(KeyError):
        await change()
    assert await relay.deliver_due(database) == 0


async def test_a_failing_subscriber_is_rolled_back_and_tried_again(
    database: Database, listener: Listener, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    listener.fail = True
    await emit(database, 1)
    assert await relay.deliver_due(database) == 0
    assert await effects(database) == []
    assert "test-listener failed" in caplog.text
    async with database.read() as db:
        mine = Delivery.subscriber == "test-listener"
        row = (await db.scalars(select(Delivery).where(mine))).one()
        assert (row.attempts, row.error) == (1, "RuntimeError: not today")
    listener.fail = False
    assert await relay.deliver_due(database) == 0, "not due yet"
    clock.advance(seconds=2)
    assert await relay.deliver_due(database) == 1
    assert await effects(database) == ["heard-1"]


def test_back_off_doubles_up_to_ten_minutes() -> None:
    waits = [relay.retry_after_ms(attempts) for attempts in range(1, 40)]
    assert waits[:3] == [2000, 4000, 8000]
    assert waits == sorted(waits)
    assert waits[-1] == 600_000
