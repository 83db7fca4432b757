"""Birth and death of a site, and which desired states it says it holds."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.ingest.errors import RefusedBatchError
from baywatt_cloud.kit.domain import emit
from baywatt_cloud.models import DesiredState, Site
from baywatt_contract.messages import Presence

_MAX_INT = 2**53


async def note_presence(db: AsyncSession, site: Site, presence: Presence, now_ms: int) -> None:
    """Record it; every state whose revision differs is published again.

    The will of an older boot that arrives after a newer birth is passed over.
    """
    numbers = [presence.boot, *presence.revisions.values()]
    if not all(0 <= number <= _MAX_INT for number in numbers):
        raise RefusedBatchError("a number in the presence is out of range")
    if not presence.on and site.boot is not None and presence.boot < site.boot:
        return
    if site.online != presence.on:
        name = "SiteOnline" if presence.on else "SiteOffline"
        await emit(db, "search", name, {"site_id": site.id})
    site.online, site.presence_ms, site.boot = presence.on, now_ms, presence.boot
    if not presence.on:
        return
    site.heard_ms = now_ms
    site.epoch = _short(presence.epoch, 64)
    site.version = _short(presence.version, 200)
    await _compare(db, site.id, presence)


def _short(text: str | None, length: int) -> str | None:
    return None if text is None else text.replace("\x00", "")[:length]


async def _compare(db: AsyncSession, site_id: str, presence: Presence) -> None:
    states = await db.scalars(
        select(DesiredState).where(DesiredState.site_id == site_id).with_for_update()
    )
    for state in states:
        held = {str(kind): rev for kind, rev in presence.revisions.items()}.get(state.kind, 0)
        state.applied_rev = held
        if held > state.rev:  # this database is younger than what the site holds: go beyond it
            state.rev, state.hash, state.dirty = held, "", True
        if held != state.rev:
            state.published_rev = None
