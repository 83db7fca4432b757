"""The site as `baywatt status --json` and `baywatt why --json` show it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from baywatt_contract.clock import Instant, format_utc_ms
from baywatt_contract.house import BayView, ConnectorView, SiteView, WhyStep


def status_document(view: SiteView, parts: dict[str, Any]) -> dict[str, Any]:
    """The whole status: the house's own view, joined with the parts that only the daemon knows.

    `parts` brings csms, cloud, buses and children; where it has a key of the view, it wins.
    """
    return {
        "site": view.site,
        "boot": view.at.boot,
        "clock": clock_document(view.at),
        "csms": {},
        "cloud": {"state": "none", "unacked": 0},
        "connectors": {str(each.id): connector_document(each) for each in view.connectors.values()},
        "bays": {bay.id: bay_document(bay) for bay in view.bays.values()},
        "buses": {},
        "supply": {
            "fuse_a": view.fuse_a,
            "current_ma": list(view.supply_ma),
            "known": view.supply_known,
        },
        "revisions": dict(view.revisions),
        **parts,
    }


def clock_document(at: Instant) -> dict[str, Any]:
    """The daemon's clock and how far it may be believed."""
    return {"now": format_utc_ms(at.utc_ms), "quality": at.quality.value, "mono_ms": at.mono_ms}


def connector_document(view: ConnectorView) -> dict[str, Any]:
    """One connector."""
    return {
        "state": view.status.value,
        "session": view.session,
        "energy_wh": view.energy_wh,
        "power_w": view.power_w,
        "current_ma": list(view.current_ma),
        "limit_ma": view.limit_ma,
        "reason": view.reason,
        "limit_rule": view.limit_rule,
        "offered_ma": view.offered_ma,
        "register_wh": view.register_wh,
        "charging": view.charging,
        "plugged": view.plugged,
        "operative": view.operative,
        "faults": [fault.value for fault in view.faults],
        "station": view.station,
        "evse": view.evse,
        "since": _stamp(view.status_since),
    }


def bay_document(view: BayView) -> dict[str, Any]:
    """One bay."""
    return {
        "state": view.state.value,
        "connector": view.connector_id,
        "since": _stamp(view.since),
    }


def why_document(connector_id: int, view: SiteView, steps: Iterable[WhyStep]) -> dict[str, Any]:
    """The chain of rules behind a connector's status and limit."""
    return {
        "connector": connector_id,
        "state": view.connectors[connector_id].status.value,
        "limit_ma": view.connectors[connector_id].limit_ma,
        "now": format_utc_ms(view.at.utc_ms),
        "steps": [
            {
                "rule": step.rule,
                "says": step.says,
                "limit_ma": step.limit_ma,
                "since": _stamp(step.since),
            }
            for step in steps
        ],
    }


def unhealthy(parts: dict[str, Any]) -> list[str]:
    """The supervised safety and money children that are not well."""
    children = parts.get("children", {})
    return [
        name
        for name, child in children.items()
        if child["criticality"] in ("safety", "money") and not child["ok"]
    ]


def _stamp(at: Instant | None) -> str | None:
    return None if at is None else format_utc_ms(at.utc_ms)
