"""What follows for hardware and for `power` from the state: derived afresh, never remembered."""

from __future__ import annotations

from baywatt_contract.clock import Instant
from baywatt_contract.grants import MIN_CHARGE_MA, Cap, Demand
from baywatt_contract.observations import ControlTarget, Pilot
from baywatt_contract.site_file import Connector
from baywatt_edge.site.live import Live
from baywatt_edge.site.rules import SiteRules
from baywatt_edge.site.state import SiteState
from baywatt_edge.site.transaction import permits


def target(
    state: SiteState,
    live: Live,
    connector: Connector,
    grant_expires_mono_ms: int,
) -> ControlTarget:
    """What the connector's controller shall do now."""
    each = state.connector(connector.id)
    grant = live.grants.get(connector.id)
    permit = permits(each.session) and not connector.is_dc
    limit_ma = grant.limit_ma if permit and grant is not None else 0
    seen = live.observed.get(connector.id)
    open_now = seen is not None and not seen.contactor_closed
    return ControlTarget(
        connector_id=connector.id,
        permit=permit,
        limit_ma=limit_ma,
        phases=len(connector.phases),
        grant_expires_mono_ms=grant_expires_mono_ms,
        unlock=connector.id in live.unlocks and open_now,
        # Out of service is state F, which hides unplugging: not before the visit ends.
        available=each.operative or each.session is not None,
    )


def is_raise(new: ControlTarget, released: ControlTarget | None) -> bool:
    """Whether `new` lets more current flow than what was last released."""
    if released is None:
        return new.permit
    return (new.permit and not released.permit) or new.limit_ma > released.limit_ma


def lowered(new: ControlTarget, released: ControlTarget | None) -> ControlTarget:
    """The part of `new` that only lowers risk, for release before its commit."""
    if released is None or not is_raise(new, released):
        return new
    return ControlTarget(
        connector_id=new.connector_id,
        permit=new.permit and released.permit,
        limit_ma=min(new.limit_ma, released.limit_ma),
        phases=new.phases,
        grant_expires_mono_ms=new.grant_expires_mono_ms,
        unlock=new.unlock,
        available=new.available,
    )


def demand(
    rules: SiteRules, state: SiteState, live: Live, connector: Connector, now: Instant
) -> Demand:
    """What the connector wants of the fuse, what bounds it, and what it may be drawing."""
    session = state.connector(connector.id).session
    order = session.authorised_at.utc_ms if session is not None else 2**62
    return Demand(
        connector_id=connector.id,
        grid_phases=tuple(connector.phases),
        wants=permits(session) and not connector.is_dc,
        caps=tuple(_caps(live, connector, now)),
        held_ma=_held_ma(rules, state, live, connector),
        order=order,
    )


def _caps(live: Live, connector: Connector, now: Instant) -> list[Cap]:
    caps = [Cap(connector.max_a * 1000, "connector", f"rated for {connector.max_a} A")]
    seen = live.observed.get(connector.id)
    if seen is not None and seen.cable_max_ma is not None:
        amps = seen.cable_max_ma / 1000
        caps.append(Cap(seen.cable_max_ma, "cable", f"the cable bears {amps:g} A"))
    for (connector_id, source), wish in sorted(live.limits.items()):
        if connector_id not in (0, connector.id) or wish.limit_ma is None:
            continue
        if wish.expires_mono_ms is None or now.mono_ms < wish.expires_mono_ms:
            caps.append(Cap(wish.limit_ma, source, f"limited by {source}"))
    return caps


def _held_ma(rules: SiteRules, state: SiteState, live: Live, connector: Connector) -> int:
    """The most it may be drawing whatever it is told next.

    A silent controller that last offered current may go on until its own watchdog acts, and then
    still draws its fail-safe: it keeps that much of the budget.
    """
    if connector.is_dc:
        return 0
    seen = live.observed.get(connector.id)
    fail_safe_ma = rules.file.supply.fail_safe_a * 1000
    if seen is None:
        return fail_safe_ma if permits(state.connector(connector.id).session) else 0
    if live.links.get(connector.control) is False:
        return max(seen.offered_ma, fail_safe_ma) if seen.pilot is not Pilot.A else 0
    may_draw = seen.contactor_closed or seen.pilot in {Pilot.C, Pilot.D}
    if not may_draw:
        return 0
    # A vehicle follows a lower offer within five seconds: until then it draws what is measured.
    drawn_ma = _measured_ma(rules, live, connector)
    return max(seen.offered_ma if seen.offered_ma >= MIN_CHARGE_MA else 0, drawn_ma)


def _measured_ma(rules: SiteRules, live: Live, connector: Connector) -> int:
    """The greatest phase current of the newest reading, however old: staleness is no relief."""
    reading = live.readings.get(rules.meter_of(connector))
    return max(reading.current_ma) if reading is not None else 0
