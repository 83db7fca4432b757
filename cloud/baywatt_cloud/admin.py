"""What an operator does from the command line: people and sites."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud import modules
from baywatt_cloud.auth import repository, service
from baywatt_cloud.kit.db import Database
from baywatt_cloud.kit.desired import add_states
from baywatt_cloud.kit.domain import emit
from baywatt_cloud.models import Role, Site, User

_SITE_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")


class AdminError(Exception):
    """The request makes no sense; the text says what to do instead (exit code 2)."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """How a site logs in to the MQTT broker; the password is shown once."""

    site: str
    username: str
    password: str
    new: bool


async def add_site(database: Database, site_id: str) -> Credentials:
    """Add a site, or give a known one a new password. Raises AdminError for a bad id."""
    if not _SITE_ID.fullmatch(site_id):
        raise AdminError(
            f"site id {site_id!r}: use up to 48 lower-case letters, digits, '-' and '_'"
        )
    password = secrets.token_urlsafe(24)
    password_hash = await service.hash_password(password)
    async with database.write() as db:
        site = await db.get(Site, site_id)
        known = site is not None
        if site is None:
            site = Site(id=site_id, credentials_hash="", created_ms=database.clock())
            await _introduce(db, site)
        site.credentials_hash = password_hash
    return Credentials(site_id, site_id, password, new=not known)


async def _introduce(db: AsyncSession, site: Site) -> None:
    db.add(site)
    await db.flush()
    add_states(db, site.id)
    await modules.on_site_added(db, site.id)
    await emit(db, "search", "SiteAdded", {"site_id": site.id})


async def add_person(database: Database, email: str, role: Role, password: str) -> User:
    """Add a person, or change role and password of a known one. Raises AdminError."""
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", email) or len(email) > 320:
        raise AdminError(f"{email!r} is no e-mail address")
    if not 8 <= len(password) <= 200:
        raise AdminError("the password needs 8 to 200 characters")
    password_hash = await service.hash_password(password)
    async with database.write() as db:
        user = await repository.user_by_email(db, email)
        if user is None:
            return await service.add_user(db, email, password_hash, database.clock(), role=role)
        user.role, user.password_hash = role, password_hash
        return user
