"""Holds: money reserved before the plug goes in, captured once afterwards, the rest given back."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.billing.errors import DeclinedError, GatewayUnavailableError
from baywatt_cloud.billing.gateway import PaymentGateway
from baywatt_cloud.billing.models import Hold, HoldState
from baywatt_cloud.kit.clock import UtcClock
from baywatt_cloud.kit.ids import new_id
from baywatt_cloud.kit.problems import PaymentDeclinedError, UnavailableError


class GatewayPayments:
    """The port `kit.ports.Payments` on a gateway."""

    def __init__(self, gateway: PaymentGateway, clock: UtcClock) -> None:
        self.gateway = gateway
        self._clock = clock

    async def hold(
        self, db: AsyncSession, user_id: str, amount_minor: int, currency: str, reference: str
    ) -> str:
        """One hold per reference; nothing is held for an amount of 0.

        Raises PaymentDeclinedError, or UnavailableError when the gateway does not answer.
        """
        if amount_minor <= 0:
            return f"none:{reference}"
        try:
            found = await self.authorise(db, user_id, amount_minor, currency, reference)
        except DeclinedError as error:
            raise PaymentDeclinedError(f"{error}: use another means of payment") from error
        except GatewayUnavailableError as error:
            raise UnavailableError("the payment gateway does not answer") from error
        return found.id

    async def authorise(
        self, db: AsyncSession, user_id: str, amount_minor: int, currency: str, reference: str
    ) -> Hold:
        """The hold of a reference, made if there is none; raises GatewayError."""
        found: Hold | None = await db.scalar(select(Hold).where(Hold.reference == reference))
        if found is not None:
            return found
        key = f"authorise:{reference}:{amount_minor}"
        intent = await self.gateway.authorise(key, amount_minor, currency, user_id)
        now_ms = self._clock()
        made = Hold(
            id=new_id("ho", now_ms),
            reference=reference,
            user_id=user_id,
            intent_id=intent.id,
            currency=currency,
            amount_minor=amount_minor,
            created_ms=now_ms,
            changed_ms=now_ms,
        )
        db.add(made)
        await db.flush()
        return made

    async def release(self, db: AsyncSession, hold_id: str) -> None:
        """Give an open hold back; unknown and settled holds are no error."""
        hold = await db.get(Hold, hold_id, with_for_update=True)
        if hold is None or hold.state != HoldState.AUTHORISED:
            return
        await self.gateway.release(f"release:{hold.id}", hold.intent_id)
        hold.state, hold.released_minor = HoldState.RELEASED, hold.amount_minor
        hold.changed_ms = self._clock()

    async def capture(self, hold: Hold, amount_minor: int) -> None:
        """Take at most what is held, give the rest back; raises GatewayError.

        `hold` belongs to the caller's transaction.
        """
        key = f"capture:{hold.id}:{amount_minor}"
        await self.gateway.capture(key, hold.intent_id, amount_minor)
        hold.state, hold.captured_minor = HoldState.CAPTURED, amount_minor
        hold.released_minor = hold.amount_minor - amount_minor
        hold.changed_ms = self._clock()

    async def close(self) -> None:
        """Let go of the gateway."""
        await self.gateway.close()
