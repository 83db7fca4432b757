"""Which booking holds a connector now, and whose it is."""

from __future__ import annotations

from baywatt_contract.clock import Instant, parse_utc_ms
from baywatt_contract.messages import ReservationItem, ReservationStatus
from baywatt_contract.site_file import Connector
from baywatt_edge.site.live import Live
from baywatt_edge.site.state import SiteState


def for_connector(live: Live, connector: Connector) -> list[ReservationItem]:
    """All bookings that name this connector, or only its bay."""
    return [
        item
        for item in live.reservations
        if item.status is not ReservationStatus.CANCELLED
        and (item.evse == connector.id or (item.evse is None and item.bay == connector.bay))
    ]


def current(
    state: SiteState, live: Live, connector: Connector, now: Instant
) -> ReservationItem | None:
    """The booking whose window is open now and that was neither used nor missed."""
    for item in for_connector(live, connector):
        if item.id in state.used or item.id in state.missed:
            continue
        if parse_utc_ms(item.from_) <= now.utc_ms < parse_utc_ms(item.to):
            return item
    return None


def opens_at(item: ReservationItem) -> int:
    """UTC milliseconds of its begin."""
    return parse_utc_ms(item.from_)


def closes_at(item: ReservationItem) -> int:
    """UTC milliseconds of its end."""
    return parse_utc_ms(item.to)
