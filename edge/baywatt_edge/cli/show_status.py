"""`baywatt status` for people: one screen, the worst in colour."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from baywatt_edge.cli.words import amperes, clock_time, kilo, style_of


def status_screen(status: dict[str, Any]) -> RenderableType:
    """The whole status document as one screen."""
    parts: list[RenderableType] = [_headline(status), *_links(status), _supply(status["supply"])]
    if status["connectors"]:
        parts.append(_connectors(status["connectors"]))
    if status["bays"]:
        parts.append(_bays(status["bays"]))
    parts += _devices(status.get("buses", {}))
    parts += _children(status.get("children", {}))
    return Group(*parts)


def _headline(status: dict[str, Any]) -> Text:
    clock = status["clock"]
    line = Text(status["site"], style="bold")
    line.append(f"  {clock_time(clock['now'])}  boot {status['boot']}  clock ", style="not bold")
    line.append(clock["quality"], style=f"not bold {style_of(clock['quality'])}")
    return line


def _links(status: dict[str, Any]) -> Iterator[Text]:
    for name, each in status["csms"].items():
        said = f"{each.get('version') or ''} queue {each.get('queue', 0)}".strip()
        yield _link(f"CSMS {name}", each.get("state", "unknown"), said)
    cloud = status["cloud"]
    yield _link("cloud", cloud.get("state", "unknown"), f"unacked {cloud.get('unacked', 0)}")


def _link(name: str, state: str, said: str) -> Text:
    line = Text("● ", style=style_of(state) or "yellow")
    return line.append(f"{name} {state}  {said}", style="default")


def _supply(supply: dict[str, Any]) -> Text:
    line = Text("supply  ")
    if not supply.get("known", True):
        return line.append("meter silent", style="bold red")
    fuse_a = supply.get("fuse_a", 0)
    for number, ma in enumerate(supply.get("current_ma", []), start=1):
        tight = fuse_a and ma > 900 * fuse_a
        line.append(f"L{number} {amperes(ma)}  ", style="bold red" if tight else "")
    return line.append(f"of {fuse_a} A")


def _connectors(connectors: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("#", "state"):
        table.add_column(head, no_wrap=True)
    for head in ("kWh", "kW", "A", "limit"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("why", overflow="fold", ratio=1)
    for name, each in connectors.items():
        reason = ", ".join(each.get("faults", [])) or each["reason"]
        table.add_row(
            name,
            Text(each["state"], style=style_of(each["state"])),
            kilo(each["energy_wh"]),
            kilo(each["power_w"]),
            amperes(max(each["current_ma"], default=0)),
            amperes(each["limit_ma"]),
            Text(reason),
        )
    return table


def _bays(bays: dict[str, Any]) -> Text:
    line = Text("bays  ")
    for name, bay in bays.items():
        line.append(f"{name} ").append(bay["state"], style=style_of(bay["state"])).append("  ")
    return line


def _devices(buses: dict[str, Any]) -> Iterator[Text]:
    """Only the devices that do not answer; `--json` has all of them."""
    for bus, devices in buses.items():
        for name, device in devices.items():
            if not device.get("up", True):
                said = f"✗ {name} on {bus} is silent: {device.get('detail', '')}"
                yield Text(said.rstrip(": "), style="bold red")


def _children(children: dict[str, Any]) -> Iterator[Text]:
    for name, child in children.items():
        if not child["ok"]:
            said = f"✗ task {name}: {child['last_error'] or 'silent'}, {child['restarts']} restarts"
            yield Text(said, style="bold red" if child["criticality"] != "nice" else "yellow")
