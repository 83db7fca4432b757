"""What one module needs of another, as Protocols: modules meet here and in domain events."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession


class Payments(Protocol):
    """Holds money while a booking or a session is open."""

    async def hold(
        self, db: AsyncSession, user_id: str, amount_minor: int, currency: str, reference: str
    ) -> str:
        """Authorise an amount and return the hold's id.

        Raises kit.problems.PaymentDeclinedError. `reference` (a booking id) makes it idempotent.
        """
        ...

    async def release(self, db: AsyncSession, hold_id: str) -> None:
        """Give back what has not been captured; unknown and released holds are no error."""
        ...

    async def close(self) -> None:
        """Let go of connections when the process ends."""
        ...


class PostPaid:
    """Payments for installations without a gateway: nothing is held, everything is invoiced."""

    async def hold(
        self, db: AsyncSession, user_id: str, amount_minor: int, currency: str, reference: str
    ) -> str:
        """Accept without holding."""
        del db, user_id, amount_minor, currency
        return f"postpaid:{reference}"

    async def release(self, db: AsyncSession, hold_id: str) -> None:
        """Nothing was held."""
        del db, hold_id

    async def close(self) -> None:
        """Nothing to let go of."""
