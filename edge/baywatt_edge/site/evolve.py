"""Folding events into the durable state: no clock, no rules, no failure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from baywatt_contract import events as ev
from baywatt_contract.clock import Instant
from baywatt_edge.site.state import Bay, Session, SiteState

_KEPT = 500  # wishes and bookings remembered: far more than can be in flight


def evolve(state: SiteState, event: ev.Payload, at: Instant) -> SiteState:
    """The state after `event`, which happened at `at`. Unknown types change nothing."""
    handler = _HANDLERS.get(type(event))
    return state if handler is None else handler(state, event, at)


def description_hash(event: ev.SiteDescribed) -> str:
    """Tells whether a site's description changed since it was last written."""
    return hashlib.sha256(json.dumps(event.to_data(), sort_keys=True).encode()).hexdigest()


def _with(state: SiteState, connector_id: int, **changes: Any) -> SiteState:  # noqa: ANN401
    changed = replace(state.connector(connector_id), **changes)
    return replace(state, connectors={**state.connectors, connector_id: changed})


def _with_session(state: SiteState, connector_id: int, **changes: Any) -> SiteState:  # noqa: ANN401
    session = state.connector(connector_id).session
    if session is None:
        return state
    return _with(state, connector_id, session=replace(session, **changes))


def _remember(wishes: Mapping[str, str], wish_id: str | None, session: str) -> dict[str, str]:
    kept = dict(wishes)
    if wish_id is not None:
        kept[wish_id] = session
        while len(kept) > _KEPT:
            del kept[next(iter(kept))]
    return kept


def _described(state: SiteState, event: ev.SiteDescribed, _at: Instant) -> SiteState:
    return replace(state, described=description_hash(event))


def _authorised(state: SiteState, event: ev.SessionAuthorised, at: Instant) -> SiteState:
    session = Session(
        id=event.session,
        connector_id=event.connector,
        token=event.token,
        token_hash=event.token_hash,
        source=event.source,
        authority=event.authority,
        bill=event.bill,
        authorised_at=at,
        booking_id=event.booking_id,
        driver_id=event.driver_id,
        command_id=event.command_id,
    )
    wishes = _remember(state.wishes, event.command_id, event.session)
    state = replace(state, wishes=wishes, authorised=state.authorised + 1)
    return _with(state, event.connector, session=session)


def _started(state: SiteState, event: ev.ChargingStarted, at: Instant) -> SiteState:
    return _with_session(
        state,
        event.connector,
        begin_wh=event.energy_wh,
        begin_at=at,
        last_wh=event.energy_wh,
        sampled_at=at,
    )


def _sampled(state: SiteState, event: ev.MeterSampled, at: Instant) -> SiteState:
    return _with_session(state, event.connector, last_wh=event.energy_wh, sampled_at=at)


def _stopping(state: SiteState, event: ev.SessionStopping, at: Instant) -> SiteState:
    state = replace(state, wishes=_remember(state.wishes, event.command_id, event.session))
    return _with_session(
        state,
        event.connector,
        stopping=event.reason,
        stopping_at=at,
        stop_token=event.token,
        stop_command_id=event.command_id,
    )


def _stopped(state: SiteState, event: ev.ChargingStopped, _at: Instant) -> SiteState:
    return _with_session(state, event.connector, end_wh=event.energy_wh, last_wh=event.energy_wh)


def _ended(state: SiteState, event: ev.SessionEnded, _at: Instant) -> SiteState:
    session = state.connector(event.connector).session
    if session is not None and session.begin_wh is None and session.booking_id is not None:
        # Nobody plugged in: the booking holds its connector as before.
        kept = tuple(each for each in state.used if each != session.booking_id)
        state = replace(state, used=kept)
    return _with(state, event.connector, session=None)


def _limited(state: SiteState, event: ev.LimitChanged, at: Instant) -> SiteState:
    return _with(
        state,
        event.connector,
        limit_ma=event.limit_ma,
        limit_rule=event.rule,
        limit_reason=event.reason,
        limit_at=at,
    )


def _status(state: SiteState, event: ev.ConnectorChanged, at: Instant) -> SiteState:
    return _with(
        state,
        event.connector,
        status=event.status,
        status_reason=event.reason,
        status_at=at,
    )


def _availability(state: SiteState, event: ev.AvailabilityChanged, _at: Instant) -> SiteState:
    return _with(state, event.connector, operative=event.operative)


def _bay(state: SiteState, event: ev.BayChanged, at: Instant) -> SiteState:
    return replace(state, bays={**state.bays, event.bay: Bay(event.state, at)})


def _fault(state: SiteState, event: ev.FaultRaised, _at: Instant) -> SiteState:
    if event.connector is not None:
        faults = state.connector(event.connector).faults | {event.fault}
        return _with(state, event.connector, faults=faults)
    return replace(state, device_faults=state.device_faults | {event.device or ""})


def _fault_cleared(state: SiteState, event: ev.FaultCleared, _at: Instant) -> SiteState:
    if event.connector is not None:
        faults = state.connector(event.connector).faults - {event.fault}
        return _with(state, event.connector, faults=faults)
    return replace(state, device_faults=state.device_faults - {event.device or ""})


def _applied(state: SiteState, event: ev.ReservationApplied, _at: Instant) -> SiteState:
    applied = dict(list(state.applied.items())[-_KEPT:])
    return replace(state, applied={**applied, event.booking_id: event.rev})


def _used(state: SiteState, event: ev.ReservationUsed, _at: Instant) -> SiteState:
    return replace(state, used=(*state.used, event.booking_id)[-_KEPT:])


def _no_show(state: SiteState, event: ev.ReservationNoShow, _at: Instant) -> SiteState:
    return replace(state, missed=(*state.missed, event.booking_id)[-_KEPT:])


_HANDLERS: dict[type[ev.Payload], Callable[[SiteState, Any, Instant], SiteState]] = {
    ev.SiteDescribed: _described,
    ev.SessionAuthorised: _authorised,
    ev.ChargingStarted: _started,
    ev.MeterSampled: _sampled,
    ev.SessionStopping: _stopping,
    ev.ChargingStopped: _stopped,
    ev.SessionEnded: _ended,
    ev.LimitChanged: _limited,
    ev.ConnectorChanged: _status,
    ev.AvailabilityChanged: _availability,
    ev.BayChanged: _bay,
    ev.FaultRaised: _fault,
    ev.FaultCleared: _fault_cleared,
    ev.ReservationApplied: _applied,
    ev.ReservationUsed: _used,
    ev.ReservationNoShow: _no_show,
}
