"""The payment gateway port, and a gateway of our own that behaves like one outside the house.

The fake keeps its book in transactions of its own: an effect stays although the caller's
transaction is rolled back, exactly as with a gateway across the network.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.billing.errors import (
    DeclinedError,
    GatewayRefusedError,
    GatewayUnavailableError,
)
from baywatt_cloud.billing.models import FakeIntent, FakeKey, HoldState
from baywatt_cloud.kit.base import Base
from baywatt_cloud.kit.db import Database
from baywatt_cloud.kit.ids import new_id


@dataclass(frozen=True, slots=True)
class Intent:
    """A pre-authorisation as the gateway sees it."""

    id: str
    currency: str
    amount_minor: int
    captured_minor: int
    state: HoldState


class PaymentGateway(Protocol):
    """Pre-authorise, capture once, release. Every call carries an idempotency key.

    Raises DeclinedError, GatewayUnavailableError (repeat with the same key), GatewayRefusedError.
    """

    async def authorise(self, key: str, amount_minor: int, currency: str, customer: str) -> Intent:
        """Hold an amount on the customer's means of payment."""
        ...

    async def capture(self, key: str, intent_id: str, amount_minor: int) -> Intent:
        """Take at most the held amount, once; the rest is released by it."""
        ...

    async def release(self, key: str, intent_id: str) -> Intent:
        """Give everything back."""
        ...

    async def get(self, intent_id: str) -> Intent | None:
        """The intent as it stands now."""
        ...

    async def all(self) -> list[Intent]:
        """Every intent, for reconciliation."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Chaos(StrEnum):
    """What the next call to the fake suffers."""

    LOST_BEFORE = "lost-before"  # no answer, no effect
    LOST_AFTER = "lost-after"  # no answer, but the effect happened
    DECLINE = "decline"


@dataclass(slots=True)
class FakeGateway:
    """The double of demo and tests; customers whose id ends with `-declined` never pay."""

    database: Database
    chaos: deque[Chaos] = field(default_factory=deque)
    _ready: bool = False

    async def authorise(self, key: str, amount_minor: int, currency: str, customer: str) -> Intent:
        """See PaymentGateway."""
        if amount_minor <= 0:
            raise GatewayRefusedError("an amount above 0 is needed")

        def make(db: AsyncSession) -> FakeIntent:
            made = FakeIntent(
                id=new_id("pi", self.database.clock()),
                customer=customer,
                currency=currency,
                amount_minor=amount_minor,
                captured_minor=0,
                state=HoldState.AUTHORISED,
            )
            db.add(made)
            return made

        chaos = self.chaos.popleft() if self.chaos else None
        if chaos is Chaos.DECLINE or customer.endswith("-declined"):
            raise DeclinedError("the card was declined")
        return await self._once(key, f"authorise {amount_minor} {currency} {customer}", make, chaos)

    async def capture(self, key: str, intent_id: str, amount_minor: int) -> Intent:
        """See PaymentGateway."""

        def take(found: FakeIntent) -> None:
            if found.state != HoldState.AUTHORISED or not 0 < amount_minor <= found.amount_minor:
                raise GatewayRefusedError(f"cannot capture {amount_minor} of {found.id}")
            found.state, found.captured_minor = HoldState.CAPTURED, amount_minor

        return await self._change(key, f"capture {intent_id} {amount_minor}", intent_id, take)

    async def release(self, key: str, intent_id: str) -> Intent:
        """See PaymentGateway."""

        def give_back(found: FakeIntent) -> None:
            if found.state == HoldState.CAPTURED:
                raise GatewayRefusedError(f"{found.id} is captured: refund it instead")
            found.state = HoldState.RELEASED

        return await self._change(key, f"release {intent_id}", intent_id, give_back)

    async def get(self, intent_id: str) -> Intent | None:
        """See PaymentGateway."""
        await self._prepare()
        async with self.database.read() as db:
            found = await db.get(FakeIntent, intent_id)
        return None if found is None else _intent(found)

    async def all(self) -> list[Intent]:
        """See PaymentGateway."""
        await self._prepare()
        async with self.database.read() as db:
            return [_intent(row) for row in await db.scalars(select(FakeIntent))]

    async def close(self) -> None:
        """See PaymentGateway."""
        await self.database.close()

    async def _change(
        self, key: str, request: str, intent_id: str, apply: Callable[[FakeIntent], None]
    ) -> Intent:
        chaos = self.chaos.popleft() if self.chaos else None
        if chaos is Chaos.DECLINE:
            raise DeclinedError("the bank declined")

        async def change(db: AsyncSession) -> FakeIntent:
            found = await db.get(FakeIntent, intent_id, with_for_update=True)
            if found is None:
                raise GatewayRefusedError(f"no intent {intent_id}")
            apply(found)
            return found

        return await self._once(key, request, change, chaos)

    async def _once(
        self,
        key: str,
        request: str,
        effect: Callable[[AsyncSession], FakeIntent | Awaitable[FakeIntent]],
        chaos: Chaos | None,
    ) -> Intent:
        if chaos is Chaos.LOST_BEFORE:
            raise GatewayUnavailableError("no answer from the gateway")
        await self._prepare()
        async with self.database.write() as db:
            known = await db.get(FakeKey, key)
            if known is None:
                made = effect(db)
                intent = made if isinstance(made, FakeIntent) else await made
                db.add(FakeKey(key=key, request=request, intent_id=intent.id))
            elif known.request != request:
                raise GatewayRefusedError(f"key {key} was used for another request")
            else:
                intent = await db.get_one(FakeIntent, known.intent_id)
            answer = _intent(intent)
        if chaos is Chaos.LOST_AFTER:
            raise GatewayUnavailableError("no answer from the gateway")
        return answer

    async def _prepare(self) -> None:
        """On SQLite the book is a file of its own that no migration reaches."""
        if self._ready or not self.database.is_sqlite:
            return
        tables = [Base.metadata.tables[each.__tablename__] for each in (FakeIntent, FakeKey)]
        async with self.database.engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all, tables=tables)
        self._ready = True


def fake_gateway_url(database_url: str) -> str:
    """Where the fake keeps its book: beside SQLite's file, or in the same PostgreSQL."""
    return f"{database_url}-gateway" if database_url.startswith("sqlite") else database_url


def _intent(row: FakeIntent) -> Intent:
    return Intent(row.id, row.currency, row.amount_minor, row.captured_minor, HoldState(row.state))
