"""Bays and the bookings that hold them."""

from __future__ import annotations

from baywatt_contract import events as ev
from baywatt_contract.clock import ClockQuality
from baywatt_contract.events import ConnectorStatus
from baywatt_contract.messages import ReservationItem, ReservationStatus
from baywatt_contract.observations import BayObserved
from baywatt_contract.site_file import Connector
from baywatt_edge.site import reservations
from baywatt_edge.site.draft import Draft


def observed(draft: Draft, seen: BayObserved) -> None:
    """A bay changed."""
    known = {bay.id for bay in draft.rules.file.bays}
    old = draft.state.bays.get(seen.bay_id)
    if seen.bay_id not in known or (old is not None and old.state is seen.state):
        return
    connector = draft.rules.file.connector_of_bay(seen.bay_id)
    draft.record(
        ev.BayChanged(
            bay=seen.bay_id,
            state=seen.state,
            connector=connector.id if connector is not None else None,
        )
    )


def hold_reservations(draft: Draft) -> None:
    """Tell the cloud which bookings the site holds now."""
    for item in draft.live.reservations:
        if item.status is ReservationStatus.CANCELLED:
            continue
        if draft.state.applied.get(item.id) != item.rev:
            draft.record(ev.ReservationApplied(booking_id=item.id, rev=item.rev))


def settle(draft: Draft) -> None:
    """No-shows, and a Tick at the next begin or end of a booking."""
    for connector in draft.rules.file.connectors:
        for item in reservations.for_connector(draft.live, connector):
            _wake_for(draft, item)
            _no_show(draft, connector, item)


def _wake_for(draft: Draft, item: ReservationItem) -> None:
    for edge_ms in (
        reservations.opens_at(item),
        reservations.opens_at(item) + draft.rules.no_show_after_ms,
        reservations.closes_at(item),
    ):
        if edge_ms > draft.now.utc_ms:
            draft.wake_at(draft.now.mono_ms + edge_ms - draft.now.utc_ms)


def _no_show(draft: Draft, connector: Connector, item: ReservationItem) -> None:
    """Only a site that knows the time and held an operative connector may say so."""
    if draft.now.quality is ClockQuality.UNSYNCED:
        return
    if item.id in draft.state.used or item.id in draft.state.missed or item.evse is None:
        return
    opened = reservations.opens_at(item)
    due = min(opened + draft.rules.no_show_after_ms, reservations.closes_at(item))
    if draft.now.utc_ms < due:
        return
    state = draft.state.connector(connector.id)
    broken = {ConnectorStatus.FAULTED, ConnectorStatus.UNAVAILABLE}
    since_ms = state.status_at.utc_ms if state.status_at is not None else draft.now.utc_ms
    draft.record(
        ev.ReservationNoShow(
            booking_id=item.id,
            connector=connector.id,
            held_ms=max(0, draft.now.utc_ms - max(opened, since_ms)),
            operative=state.status not in broken and since_ms <= opened + 60_000,
        )
    )
