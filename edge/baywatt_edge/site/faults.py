"""Faults begin and end as events; a silent device is a fault of its own."""

from __future__ import annotations

from baywatt_contract import events as ev
from baywatt_contract.observations import FaultCode, LinkChanged
from baywatt_contract.site_file import Connector
from baywatt_edge.site.draft import Draft

_BY_LINK = frozenset({FaultCode.SILENT, FaultCode.METER_SILENT})


def link_changed(draft: Draft, link: LinkChanged) -> None:
    """A device that serves no connector is told of by itself."""
    serving = {
        device
        for each in draft.rules.file.connectors
        for device in (each.control, each.meter)
        if device is not None
    }
    if link.device_id in serving:
        return  # the connector's own rule tells
    raised = link.device_id in draft.state.device_faults
    if not link.up and not raised:
        draft.record(
            ev.FaultRaised(fault=FaultCode.SILENT, device=link.device_id, detail=link.detail)
        )
    elif link.up and raised:
        draft.record(ev.FaultCleared(fault=FaultCode.SILENT, device=link.device_id))


def settle(draft: Draft, connector: Connector) -> None:
    """Bring the recorded faults of a connector in line with what is observed."""
    known = draft.state.connector(connector.id).faults
    present = _present(draft, connector, known)
    for fault in sorted(present - known):
        draft.record(
            ev.FaultRaised(
                fault=fault, connector=connector.id, detail=_detail(draft, connector, fault)
            )
        )
    for fault in sorted(known - present):
        draft.record(ev.FaultCleared(fault=fault, connector=connector.id))


def _present(
    draft: Draft, connector: Connector, known: frozenset[FaultCode]
) -> frozenset[FaultCode]:
    seen = draft.live.observed.get(connector.id)
    control_up = draft.live.links.get(connector.control)
    meter_up = draft.live.links.get(draft.rules.meter_of(connector))
    # After a restart nothing is known until the device speaks: keep what was recorded.
    faults = known - _BY_LINK if seen is None or control_up is False else seen.faults
    if control_up is False or (control_up is None and FaultCode.SILENT in known):
        faults |= {FaultCode.SILENT}
    if meter_up is False or (meter_up is None and FaultCode.METER_SILENT in known):
        faults |= {FaultCode.METER_SILENT}
    return frozenset(faults)


def _detail(draft: Draft, connector: Connector, fault: FaultCode) -> str:
    if fault is FaultCode.SILENT:
        return draft.live.link_details.get(connector.control, "")
    if fault is FaultCode.METER_SILENT:
        return draft.live.link_details.get(draft.rules.meter_of(connector), "")
    return f"reported by {connector.control}"
