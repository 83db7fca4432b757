"""Queries about people and their tokens."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.models import BLOCKING, Booking, User, UserToken


async def user_by_email(db: AsyncSession, email: str) -> User | None:
    """The account of an e-mail address, in any case."""
    found: User | None = await db.scalar(select(User).where(User.email == email.lower()))
    return found


async def tokens_of(db: AsyncSession, user_id: str) -> list[UserToken]:
    """A person's active tokens, oldest first."""
    rows = await db.scalars(
        select(UserToken)
        .where(UserToken.user_id == user_id, UserToken.active)
        .order_by(UserToken.created_ms, UserToken.id)
    )
    return list(rows)


async def token_by_uid(db: AsyncSession, uid: str) -> UserToken | None:
    """The token with a UID, in any case."""
    found: UserToken | None = await db.scalar(
        select(UserToken).where(UserToken.uid == uid.strip().upper())
    )
    return found


async def sites_with_bookings_of(db: AsyncSession, user_id: str) -> list[str]:
    """Where the person holds bookings that a new token must open."""
    rows = await db.scalars(
        select(Booking.site_id)
        .where(Booking.user_id == user_id, Booking.status.in_(BLOCKING))
        .distinct()
    )
    return list(rows)
