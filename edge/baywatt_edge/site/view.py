"""The site as people see it now, and why."""

from __future__ import annotations

from baywatt_contract.clock import Instant
from baywatt_contract.grants import Grant
from baywatt_contract.house import BayView, ConnectorView, SiteView, WhyStep
from baywatt_contract.observations import BayState, Pilot, Quantity
from baywatt_contract.site_file import Connector
from baywatt_edge.site.live import Live
from baywatt_edge.site.rules import SiteRules
from baywatt_edge.site.state import ConnectorState, SiteState, elapsed_ms
from baywatt_edge.site.targets import demand


def site_view(
    rules: SiteRules, state: SiteState, live: Live, supply_ma: tuple[int, int, int], now: Instant
) -> SiteView:
    """Everything that `status`, live messages and pages show."""
    supply = live.readings.get(rules.file.supply.meter or "")
    known = supply is not None and elapsed_ms(supply.measured_at, now) <= rules.stale_after_ms
    return SiteView(
        site=rules.file.site.id,
        at=now,
        connectors={
            each.id: _connector_view(rules, state, live, each, now)
            for each in rules.file.connectors
        },
        bays={bay.id: _bay_view(rules, state, bay.id) for bay in rules.file.bays},
        supply_ma=supply_ma,
        supply_known=known,
        fuse_a=rules.file.supply.fuse_a,
        revisions=dict(live.revisions),
    )


def _connector_view(
    rules: SiteRules, state: SiteState, live: Live, connector: Connector, now: Instant
) -> ConnectorView:
    each = state.connector(connector.id)
    seen = live.observed.get(connector.id)
    reading = live.readings.get(rules.meter_of(connector))
    if reading is not None and elapsed_ms(reading.measured_at, now) > rules.stale_after_ms:
        reading = None
    grant = live.grants.get(connector.id)
    session = each.session
    register = reading.energy_wh if reading is not None else None
    return ConnectorView(
        id=connector.id,
        station=connector.station,
        evse=connector.evse,
        status=each.status,
        operative=each.operative,
        session=session.id if session is not None else None,
        charging=session is not None and session.charging,
        token=session.token if session is not None else None,
        plugged=seen is not None and seen.pilot in {Pilot.B, Pilot.C, Pilot.D},
        energy_wh=_delivered_wh(each, register),
        register_wh=register,
        power_w=(reading.power_w or 0) if reading is not None else 0,
        current_ma=reading.current_ma if reading is not None else (0, 0, 0),
        voltage_mv=(
            (
                reading.values.get(Quantity.VOLTAGE_L1_MV, 0),
                reading.values.get(Quantity.VOLTAGE_L2_MV, 0),
                reading.values.get(Quantity.VOLTAGE_L3_MV, 0),
            )
            if reading is not None
            else None
        ),
        offered_ma=seen.offered_ma if seen is not None else 0,
        limit_ma=grant.limit_ma if grant is not None else 0,
        limit_rule=grant.rule if grant is not None else "",
        reason=_reason(each, grant),
        faults=tuple(sorted(each.faults)),
        status_since=each.status_at,
    )


def _reason(each: ConnectorState, grant: Grant | None) -> str:
    """While a transaction runs, why the limit is what it is; otherwise why the status is."""
    session = each.session
    if session is not None and session.charging and session.stopping is None and grant is not None:
        return grant.reason
    return each.status_reason


def _delivered_wh(each: ConnectorState, register_wh: int | None) -> int | None:
    session = each.session
    if session is None or session.begin_wh is None:
        return None
    until = session.end_wh if session.end_wh is not None else register_wh
    if until is None:
        until = session.last_wh if session.last_wh is not None else session.begin_wh
    return max(0, until - session.begin_wh)


def _bay_view(rules: SiteRules, state: SiteState, bay_id: str) -> BayView:
    bay = state.bays.get(bay_id)
    connector = rules.file.connector_of_bay(bay_id)
    from_state = (bay.state, bay.since) if bay is not None else None
    if from_state is None:
        return BayView(bay_id, BayState.UNKNOWN, connector.id if connector else None, None)
    return BayView(bay_id, from_state[0], connector.id if connector else None, from_state[1])


def why(
    rules: SiteRules, state: SiteState, live: Live, connector: Connector, now: Instant
) -> list[WhyStep]:
    """The chain from status over permission and limits to what the pilot offers."""
    each = state.connector(connector.id)
    steps = [WhyStep("status", f"{each.status}: {each.status_reason}", since=each.status_at)]
    if each.session is not None:
        s = each.session
        steps.append(
            WhyStep("session", f"{s.id} by {s.source}, vouched for by {s.authority}",
                    since=s.authorised_at)
        )  # fmt: skip
    steps += [
        WhyStep(f"cap {cap.rule}", cap.reason, cap.limit_ma)
        for cap in demand(rules, state, live, connector, now).caps
    ]
    if (grant := live.grants.get(connector.id)) is not None:
        steps.append(WhyStep(f"grant {grant.rule}", grant.reason, grant.limit_ma))
    if (seen := live.observed.get(connector.id)) is not None:
        closed = {True: "closed", False: "open", None: "unknown"}[seen.contactor_closed]
        says = f"pilot {seen.pilot}, contactor {closed}"
        steps.append(WhyStep("pilot", says, seen.offered_ma, seen.observed_at))
    return steps
