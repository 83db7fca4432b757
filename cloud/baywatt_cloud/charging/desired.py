"""The desired-state documents of a site: what it should know, with a revision per real change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.charging.tariffs import tariff_at
from baywatt_cloud.models import Booking, BookingStatus, DesiredState, UserToken
from baywatt_contract.clock import format_utc_ms
from baywatt_contract.messages import (
    ReservationItem,
    ReservationStatus,
    StateDocument,
    TokenItem,
    items_hash,
    token_hash,
)
from baywatt_contract.topics import StateTopic

HORIZON_MS = 14 * 24 * 3600 * 1000
MAX_TOKENS = 600  # hashes do not compress: more would not fit into one message of 64 KiB
Items = list[dict[str, Any]]


async def rebuild(db: AsyncSession, site_id: str, kind: StateTopic, now_ms: int) -> bool:
    """Rebuild one document; True when its content changed and it got a new revision."""
    state = await db.get_one(DesiredState, (site_id, kind), with_for_update=True)
    items = await _BUILDERS[kind](db, state, now_ms)
    state.dirty, state.built_ms = False, now_ms
    digest = items_hash(items)
    if digest == state.hash and state.document is not None:
        return False
    state.rev += 1
    horizon = format_utc_ms(now_ms + HORIZON_MS) if kind is StateTopic.RESERVATIONS else None
    document = StateDocument(rev=state.rev, hash=digest, items=items, horizon=horizon)
    state.hash = digest
    state.document = document.model_dump(mode="json", exclude_none=True)
    return True


async def _tariffs(db: AsyncSession, state: DesiredState, now_ms: int) -> Items:
    tariff = await tariff_at(db, state.site_id, now_ms)
    if tariff is None:
        return []
    return [
        {
            "id": tariff.id,
            "version": tariff.version,
            "currency": tariff.currency,
            "hash": tariff.hash,
            "ocpi": tariff.ocpi,
        }
    ]


async def _tokens(db: AsyncSession, state: DesiredState, _now_ms: int) -> Items:
    """The newest tokens of all drivers; the rest is asked online."""
    rows = await db.scalars(
        select(UserToken)
        .where(UserToken.active)
        .order_by(UserToken.created_ms.desc(), UserToken.id)
        .limit(MAX_TOKENS)
    )
    items = [
        TokenItem(hash=token_hash(state.site_id, row.uid), driver_id=row.user_id) for row in rows
    ]
    return [item.model_dump(mode="json") for item in items]


async def _settings(_db: AsyncSession, _state: DesiredState, _now_ms: int) -> Items:
    return []


async def _reservations(db: AsyncSession, state: DesiredState, now_ms: int) -> Items:
    """What the site must hold until the horizon. An item keeps its `rev` while it is unchanged."""
    bookings = await _bookings(db, state.site_id, now_ms)
    hashes = await _hashes(db, state.site_id, {booking.user_id for booking in bookings})
    before = {item["id"]: item for item in (state.document or {}).get("items", [])}
    items: Items = []
    for booking in bookings:
        item = _item(booking, hashes.get(booking.user_id, []), state.rev + 1)
        old = before.get(booking.id)
        if old is not None and old | {"rev": item["rev"]} == item:
            item = old
        await _note_rev(db, booking, item["rev"])
        items.append(item)
    return items


async def _bookings(db: AsyncSession, site_id: str, now_ms: int) -> list[Booking]:
    rows = await db.scalars(
        select(Booking)
        .where(Booking.site_id == site_id)
        .where(Booking.status.in_([BookingStatus.RESERVED, BookingStatus.ACTIVE]))
        .where(Booking.from_ms < now_ms + HORIZON_MS)
        .order_by(Booking.from_ms, Booking.id)
    )
    return list(rows)


async def _hashes(db: AsyncSession, site_id: str, users: set[str]) -> dict[str, list[str]]:
    rows = await db.scalars(
        select(UserToken)
        .where(UserToken.user_id.in_(users), UserToken.active)
        .order_by(UserToken.created_ms, UserToken.id)
    )
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.user_id, []).append(token_hash(site_id, row.uid))
    return found


def _item(booking: Booking, hashes: list[str], rev: int) -> dict[str, Any]:
    site_id = booking.site_id
    item = ReservationItem(
        id=booking.id,
        rev=rev,
        evse=int(booking.evse_id.removeprefix(f"{site_id}.")) if booking.evse_id else None,
        bay=booking.bay_id.removeprefix(f"{site_id}.") if booking.bay_id else None,
        from_=format_utc_ms(booking.from_ms),
        to=format_utc_ms(booking.to_ms),
        token_hashes=hashes,
        pin_hash=token_hash(site_id, booking.pin),
        driver_id=booking.user_id,
        status=ReservationStatus(booking.status),
    )
    return item.model_dump(mode="json", by_alias=True, exclude_none=True)


async def _note_rev(db: AsyncSession, booking: Booking, rev: int) -> None:
    if booking.rev != rev:
        await db.execute(update(Booking).where(Booking.id == booking.id).values(rev=rev))


_BUILDERS: dict[StateTopic, Callable[[AsyncSession, DesiredState, int], Awaitable[Items]]] = {
    StateTopic.TARIFFS: _tariffs,
    StateTopic.TOKENS: _tokens,
    StateTopic.RESERVATIONS: _reservations,
    StateTopic.SETTINGS: _settings,
}
