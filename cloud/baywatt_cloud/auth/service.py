"""Registration, passwords and cards."""

from __future__ import annotations

import asyncio

from pwdlib import PasswordHash
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.auth import repository
from baywatt_cloud.kit.db import Database
from baywatt_cloud.kit.desired import mark_dirty
from baywatt_cloud.kit.domain import emit
from baywatt_cloud.kit.ids import new_app_token, new_id
from baywatt_cloud.kit.problems import ConflictError, NotFoundError, UnauthorisedError
from baywatt_cloud.models import Role, User, UserToken
from baywatt_contract.topics import StateTopic

_passwords = PasswordHash.recommended()  # argon2id
_NOBODY = _passwords.hash("an account that does not exist takes as long to refuse")


class EmailTakenError(ConflictError):
    """The address has an account already: log in instead."""

    kind, title = "email-taken", "This address has an account already"


class CardTakenError(ConflictError):
    """The card belongs to an account already."""

    kind, title = "card-taken", "This card is registered already"


async def hash_password(password: str) -> str:
    """Argon2id, computed off the event loop."""
    return await asyncio.to_thread(_passwords.hash, password)


async def add_user(
    db: AsyncSession, email: str, password_hash: str, now_ms: int, *, name: str = "",
    role: Role = Role.DRIVER,
) -> User:  # fmt: skip
    """A new account with its app token; raises EmailTakenError."""
    user = User(
        id=new_id("us", now_ms),
        email=email.lower(),
        password_hash=password_hash,
        name=name,
        role=role,
        created_ms=now_ms,
    )
    db.add(user)
    try:
        await db.flush()
    except IntegrityError as error:
        raise EmailTakenError(f"{email} has an account already: log in") from error
    await _add_token(db, user.id, new_app_token(), "app", now_ms)
    await emit(db, "auth", "UserRegistered", {"user_id": user.id})
    return user


async def check_password(database: Database, email: str, password: str) -> User:
    """The account; raises UnauthorisedError after the same time for any mistake."""
    async with database.read() as db:
        user = await repository.user_by_email(db, email)
    stored = user.password_hash if user else _NOBODY
    right = await asyncio.to_thread(_passwords.verify, password, stored)
    if user is None or not right or not user.active:
        raise UnauthorisedError("e-mail or password is wrong")
    return user


async def add_card(db: AsyncSession, user_id: str, uid: str, now_ms: int) -> UserToken:
    """Register an RFID card; raises CardTakenError."""
    return await _add_token(db, user_id, uid.upper(), "card", now_ms)


async def remove_card(db: AsyncSession, user_id: str, token_id: str) -> None:
    """Forget a card of the person; raises NotFoundError."""
    token = await db.get(UserToken, token_id)
    if token is None or token.user_id != user_id or token.kind != "card":
        raise NotFoundError("no such card of yours")
    await db.delete(token)
    await _tell_sites(db, user_id)


async def _add_token(db: AsyncSession, user_id: str, uid: str, kind: str, now_ms: int) -> UserToken:
    token = UserToken(
        id=new_id("tk", now_ms), user_id=user_id, uid=uid, kind=kind, created_ms=now_ms
    )
    db.add(token)
    try:
        await db.flush()
    except IntegrityError as error:
        raise CardTakenError("this card belongs to an account already") from error
    await _tell_sites(db, user_id)
    return token


async def _tell_sites(db: AsyncSession, user_id: str) -> None:
    await mark_dirty(db, StateTopic.TOKENS)
    booked = await repository.sites_with_bookings_of(db, user_id)
    if booked:
        await mark_dirty(db, StateTopic.RESERVATIONS, booked)
