"""What an applier may look at and change: one event, one transaction."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.kit.ids import evse_id
from baywatt_cloud.models import InboxEvent, Site


@dataclass(frozen=True, slots=True)
class Scope:
    """The transaction, the site and the event that is being applied."""

    db: AsyncSession
    site: Site
    event: InboxEvent
    now_ms: int

    def evse_id(self, connector: int) -> str:
        """The driver's name of a connector of this site."""
        return evse_id(self.site.id, connector)
