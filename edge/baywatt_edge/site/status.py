"""The connector's status as OCPP 1.6 names it (edition 2, section 4.9), with its reason."""

from __future__ import annotations

from baywatt_contract import events as ev
from baywatt_contract.events import ConnectorStatus
from baywatt_contract.grants import MIN_CHARGE_MA
from baywatt_contract.observations import ConnectorObserved, FaultCode, Pilot
from baywatt_contract.site_file import Connector
from baywatt_edge.site import reservations
from baywatt_edge.site.draft import Draft
from baywatt_edge.site.state import Session, elapsed_ms

# A connector that still charges, or could, is not Faulted; these are warnings.
_WARNINGS = frozenset({FaultCode.LOCK_FAILED, FaultCode.VENTILATION, FaultCode.METER_SILENT})

# Between permission and a vehicle's first answer nothing is suspended yet.
_SETTLING_MS = 5_000


def settle(draft: Draft, connector: Connector) -> None:
    """Record the status when it, or its fault, changed."""
    old = draft.state.connector(connector.id)
    status, reason = derive(draft, connector)
    fault = next(iter(sorted(old.faults)), None)
    if status is old.status and old.status_at is not None and not _fault_moved(old, reason):
        return
    draft.record(
        ev.ConnectorChanged(connector=connector.id, status=status, fault=fault, reason=reason)
    )


def _fault_moved(old: object, reason: str) -> bool:
    """Within Faulted another fault is news; other reasons may change unrecorded."""
    return (
        getattr(old, "status", None) is ConnectorStatus.FAULTED
        and getattr(old, "status_reason", "") != reason
    )


def derive(draft: Draft, connector: Connector) -> tuple[ConnectorStatus, str]:
    """The status that follows from everything known now."""
    state = draft.state.connector(connector.id)
    seen = draft.live.observed.get(connector.id)
    blocking = sorted(state.faults - _WARNINGS)
    if state.session is not None and not blocking:
        return _in_session(draft, connector, state.session, seen)
    if blocking:
        return ConnectorStatus.FAULTED, ", ".join(blocking)
    if connector.is_dc:
        return ConnectorStatus.UNAVAILABLE, "DC charging waits for ISO 15118"
    if not state.operative:
        return ConnectorStatus.UNAVAILABLE, "taken out of service"
    if seen is None:
        return ConnectorStatus.UNAVAILABLE, f"{connector.control} has not reported yet"
    if seen.pilot in {Pilot.B, Pilot.C, Pilot.D}:
        return ConnectorStatus.PREPARING, "a vehicle is plugged in, not authorised yet"
    if seen.pilot in {Pilot.E, Pilot.F}:
        return ConnectorStatus.UNAVAILABLE, f"control pilot in state {seen.pilot}"
    if (booking := reservations.current(draft.state, draft.live, connector, draft.now)) is not None:
        return ConnectorStatus.RESERVED, f"reserved until {booking.to}"
    return ConnectorStatus.AVAILABLE, ""


def _in_session(
    draft: Draft, connector: Connector, session: Session, seen: ConnectorObserved | None
) -> tuple[ConnectorStatus, str]:
    if session.end_wh is not None or session.stopping is not None:
        return ConnectorStatus.FINISHING, "waits for the plug to be pulled"
    if session.begin_wh is None:
        return ConnectorStatus.PREPARING, "authorised, waits for vehicle and meter"
    grant = draft.live.grants.get(connector.id)
    begun_ms = elapsed_ms(session.begin_at or draft.now, draft.now)
    if begun_ms < _SETTLING_MS and (seen is None or not seen.contactor_closed):
        draft.wake_at(draft.now.mono_ms + _SETTLING_MS - begun_ms)
        return ConnectorStatus.PREPARING, "offers current, waits for the vehicle"
    if grant is not None and grant.limit_ma < MIN_CHARGE_MA:
        return ConnectorStatus.SUSPENDED_EVSE, grant.reason
    if seen is not None and seen.pilot is Pilot.B:
        # A grant that has not reached the pilot yet is our delay, not the vehicle's wish.
        if seen.offered_ma < MIN_CHARGE_MA:
            return ConnectorStatus.SUSPENDED_EVSE, "the controller does not offer current yet"
        return ConnectorStatus.SUSPENDED_EV, "the vehicle does not ask for energy"
    return ConnectorStatus.CHARGING, "" if grant is None else grant.reason
