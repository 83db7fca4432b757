"""Desired state of sites: whoever changes its content marks it dirty, the downlink rebuilds it."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.models.booking import DesiredState
from baywatt_contract.topics import StateTopic


async def mark_dirty(
    db: AsyncSession, kind: StateTopic, sites: Iterable[str] | None = None
) -> None:
    """Have a state document rebuilt for these sites (None: all) after this transaction.

    Every change of tariffs, tokens, bookings or settings calls this in its own transaction; the
    document gets a new revision only if its content really differs.
    """
    statement = update(DesiredState).where(DesiredState.kind == kind)
    if sites is not None:
        statement = statement.where(DesiredState.site_id.in_(set(sites)))
    await db.execute(statement.values(dirty=True).execution_options(synchronize_session=False))


def add_states(db: AsyncSession, site_id: str) -> None:
    """The state documents of a new site."""
    db.add_all(DesiredState(site_id=site_id, kind=kind, dirty=True) for kind in StateTopic)
