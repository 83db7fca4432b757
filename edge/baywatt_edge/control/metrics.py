"""GET /metrics: gauges in the Prometheus text format 0.0.4, from the same view as the status."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from baywatt_contract.house import SiteView

Sample = tuple[dict[str, str], float]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric with its samples."""

    name: str
    kind: str  # gauge or counter
    help: str
    samples: list[Sample]


def exposition(view: SiteView, parts: dict[str, Any], last_seq: int) -> bytes:
    """The text that a Prometheus server scrapes."""
    families = [*_connectors(view), *_supply(view), *_links(parts), *_children(parts)]
    families.append(
        Family("baywatt_journal_events", "gauge", "Newest class A row", [({}, last_seq)])
    )
    return "".join(line for family in families for line in _lines(family)).encode()


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help}\n"
    yield f"# TYPE {family.name} {family.kind}\n"
    for labels, value in family.samples:
        pairs = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
        yield f"{family.name}{{{pairs}}} {value!r}\n" if pairs else f"{family.name} {value!r}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _connectors(view: SiteView) -> Iterable[Family]:
    label = [({"connector": str(each.id)}, each) for each in view.connectors.values()]
    yield Family(
        "baywatt_connector_info",
        "gauge",
        "1 for the status that the connector has",
        [({**name, "status": each.status.value}, 1) for name, each in label],
    )
    yield Family(
        "baywatt_connector_power_watts",
        "gauge",
        "Active power drawn by the vehicle",
        [(name, each.power_w) for name, each in label],
    )
    yield Family(
        "baywatt_connector_limit_amperes",
        "gauge",
        "What the connector may draw per phase",
        [(name, each.limit_ma / 1000) for name, each in label],
    )
    yield Family(
        "baywatt_connector_energy_watthours",
        "counter",
        "Import register of the connector's meter",
        [(name, each.register_wh) for name, each in label if each.register_wh is not None],
    )


def _supply(view: SiteView) -> Iterable[Family]:
    known = view.supply_ma if view.supply_known else ()
    yield Family(
        "baywatt_supply_current_amperes",
        "gauge",
        "Current of the grid connection, absent while unknown",
        [({"phase": str(i)}, ma / 1000) for i, ma in enumerate(known, start=1)],
    )
    yield Family("baywatt_supply_fuse_amperes", "gauge", "Main fuse", [({}, view.fuse_a)])


def _links(parts: dict[str, Any]) -> Iterable[Family]:
    stations = parts.get("csms", {}).items()
    yield Family(
        "baywatt_csms_queue",
        "gauge",
        "Messages that the CSMS has not acknowledged",
        [({"station": name}, each.get("queue", 0)) for name, each in stations],
    )
    cloud = parts.get("cloud", {})
    unacked: list[Sample] = [({}, cloud["unacked"])] if "unacked" in cloud else []
    yield Family(
        "baywatt_cloud_unacked", "gauge", "Rows that the cloud has not acknowledged", unacked
    )


def _children(parts: dict[str, Any]) -> Iterable[Family]:
    children = parts.get("children", {}).items()
    yield Family(
        "baywatt_child_ok",
        "gauge",
        "1 while the task met its heartbeat deadline",
        [
            ({"child": name, "criticality": each["criticality"]}, int(each["ok"]))
            for name, each in children
        ],
    )
    yield Family(
        "baywatt_child_restarts",
        "counter",
        "Restarts of the task since the daemon started",
        [({"child": name}, each["restarts"]) for name, each in children],
    )
