"""What the cloud says to sites: commands until they are answered, states until they are held."""

from __future__ import annotations

from sqlalchemy import or_, select, update

from baywatt_cloud.charging import desired
from baywatt_cloud.ingest.ports import Publisher
from baywatt_cloud.kit.db import Database
from baywatt_cloud.models import Command, CommandStatus, Delivery, DesiredState, DomainEvent
from baywatt_contract import messages
from baywatt_contract.clock import format_utc_ms
from baywatt_contract.envelope import pack
from baywatt_contract.topics import SiteTopics, StateTopic, domain

DOMAIN_SUBSCRIBER = "mqtt"
_REPEAT_MS = 5_000
_ANSWER_GRACE_MS = 30_000
_AT_ONCE = 200


class Downlink:
    """Looks what is due and publishes it. Only what the broker took is marked as published."""

    def __init__(self, database: Database, publisher: Publisher) -> None:
        self._database = database
        self._publisher = publisher

    async def step(self) -> int:
        """Publish everything that is due now; returns how much it was."""
        return (
            await self._commands()
            + await self._rebuild()
            + await self._states()
            + await self._domain_events()
        )

    async def _commands(self) -> int:
        now_ms = self._database.clock()
        await self._expire(now_ms)
        async with self._database.read() as db:
            rows = await db.scalars(
                select(Command)
                .where(Command.status == CommandStatus.PENDING, Command.not_after_ms > now_ms)
                .where(
                    or_(Command.published_ms.is_(None), Command.published_ms <= now_ms - _REPEAT_MS)
                )
                .order_by(Command.sent_ms)
                .limit(_AT_ONCE)
            )
            due = list(rows)
        for command in due:
            topic = SiteTopics(command.site_id).commands
            await self._publisher.publish(topic, pack(_wire(command)), retain=False)
        await self._mark([command.id for command in due], now_ms)
        return len(due)

    async def _mark(self, ids: list[str], now_ms: int) -> None:
        if not ids:
            return
        async with self._database.write() as db:
            await db.execute(update(Command).where(Command.id.in_(ids)).values(published_ms=now_ms))

    async def _expire(self, now_ms: int) -> None:
        late = (
            (Command.status == CommandStatus.PENDING)
            & (Command.not_after_ms <= now_ms - _ANSWER_GRACE_MS)
        )  # fmt: skip
        async with self._database.read() as db:
            if await db.scalar(select(Command.id).where(late).limit(1)) is None:
                return
        async with self._database.write() as db:
            await db.execute(
                update(Command)
                .where(late)
                .values(status=CommandStatus.EXPIRED, reason="the site did not answer in time")
            )

    async def _rebuild(self) -> int:
        async with self._database.read() as db:
            rows = await db.execute(
                select(DesiredState.site_id, DesiredState.kind)
                .where(DesiredState.dirty)
                .limit(_AT_ONCE)
            )
            due = [(site_id, StateTopic(kind)) for site_id, kind in rows]
        for site_id, kind in due:
            async with self._database.write() as db:
                await desired.rebuild(db, site_id, kind, self._database.clock())
        return len(due)

    async def _states(self) -> int:
        behind = DesiredState.document.is_not(None) & (
            DesiredState.published_rev.is_distinct_from(DesiredState.rev)
        )
        async with self._database.read() as db:
            due = list(await db.scalars(select(DesiredState).where(behind).limit(_AT_ONCE)))
        for state in due:
            topic = SiteTopics(state.site_id).state(StateTopic(state.kind))
            await self._publisher.publish(topic, pack(state.document), retain=True)
            async with self._database.write() as db:
                await db.execute(
                    update(DesiredState)
                    .where(DesiredState.site_id == state.site_id, DesiredState.kind == state.kind)
                    .where(DesiredState.rev == state.rev)
                    .values(published_rev=state.rev)
                )
        return len(due)

    async def _domain_events(self) -> int:
        async with self._database.read() as db:
            rows = await db.scalars(
                select(DomainEvent)
                .join(Delivery, Delivery.event_id == DomainEvent.id)
                .where(Delivery.subscriber == DOMAIN_SUBSCRIBER, Delivery.done_ms.is_(None))
                .order_by(DomainEvent.id)
                .limit(_AT_ONCE)
            )
            due = list(rows)
        for event in due:
            body = {
                "id": event.id,
                "type": event.type,
                "time": format_utc_ms(event.time_ms),
                "trace": event.trace,
                "data": event.data,
            }
            topic = domain(event.context, event.type)
            await self._publisher.publish(topic, pack(body), retain=False)
        if due:
            async with self._database.write() as db:
                await db.execute(
                    update(Delivery)
                    .where(Delivery.subscriber == DOMAIN_SUBSCRIBER)
                    .where(Delivery.event_id.in_([event.id for event in due]))
                    .values(done_ms=self._database.clock())
                )
        return len(due)


def _wire(command: Command) -> dict[str, object]:
    return messages.Command(
        id=command.id,
        kind=messages.CommandKind(command.kind),
        sent_at=format_utc_ms(command.sent_ms),
        not_after=format_utc_ms(command.not_after_ms),
        connector=command.connector,
        data=command.data,
    ).model_dump(mode="json", exclude_none=True)
