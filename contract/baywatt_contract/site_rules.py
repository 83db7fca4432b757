"""What a site file must also fulfil beyond the shape of its tables: each rule names key and fix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from baywatt_contract.site_file import SERIAL_KINDS, TCP_KINDS, Bus, BusKind, SiteFile

Path = tuple[str | int, ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake: where (path of keys and indices), what, and how to mend it."""

    path: Path
    message: str
    fix: str


Rule = Callable[[SiteFile], Iterator[Finding]]


def findings(site: SiteFile) -> list[Finding]:
    """All findings, in the order of the rules."""
    return [finding for rule in _RULES for finding in rule(site)]


def _time_zone(site: SiteFile) -> Iterator[Finding]:
    try:
        ZoneInfo(site.site.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        yield Finding(
            ("site", "time_zone"),
            f"time zone {site.site.time_zone!r} is not known",
            'write an IANA name such as "Europe/Berlin"',
        )


def _duplicates(site: SiteFile) -> Iterator[Finding]:
    tables: list[tuple[str, list[str | int]]] = [
        ("stations", [station.id for station in site.stations]),
        ("buses", [bus.id for bus in site.buses]),
        ("devices", [device.id for device in site.devices]),
        ("connectors", [connector.id for connector in site.connectors]),
        ("bays", [bay.id for bay in site.bays]),
    ]
    for table, ids in tables:
        for position, value in _repeats(ids):
            yield Finding(
                (table, position, "id"),
                f"id {value!r} stands twice in [[{table}]]",
                "give each its own id",
            )


def _repeats(values: Iterable[T]) -> Iterator[tuple[int, T]]:
    seen: set[T] = set()
    for position, value in enumerate(values):
        if value in seen:
            yield position, value
        seen.add(value)


def _references(site: SiteFile) -> Iterator[Finding]:
    buses = {bus.id for bus in site.buses}
    devices = {device.id for device in site.devices}
    stations = {station.id for station in site.stations}
    bays = {bay.id for bay in site.bays}
    wanted: list[tuple[Path, str, str | None, set[str]]] = [
        (("supply", "meter"), "device", site.supply.meter, devices)
    ]
    for i, device in enumerate(site.devices):
        wanted.append((("devices", i, "bus"), "bus", device.bus, buses))
    for i, bay in enumerate(site.bays):
        wanted.append((("bays", i, "sensor"), "device", bay.sensor, devices))
    for i, each in enumerate(site.connectors):
        at: Path = ("connectors", i)
        wanted += [
            ((*at, "station"), "station", each.station, stations),
            ((*at, "control"), "device", each.control, devices),
            ((*at, "meter"), "device", each.meter, devices),
            ((*at, "insulation"), "device", each.insulation, devices),
            ((*at, "bay"), "bay", each.bay, bays),
        ]
        wanted += [((*at, "power_modules"), "device", m, devices) for m in each.power_modules]
    for path, kind, name, known in wanted:
        if name is not None and name not in known:
            listed = ", ".join(sorted(known)) or "none"
            yield Finding(path, f"no {kind} has the id {name!r}", f"one of: {listed}")


def _bus_keys(site: SiteFile) -> Iterator[Finding]:
    for i, bus in enumerate(site.buses):
        for key in _missing_keys(bus):
            yield Finding(
                ("buses", i, "kind"),
                f"bus {bus.id!r} of kind {bus.kind} has no {key}",
                f"add `{key} = …` to this [[buses]] table",
            )


def _missing_keys(bus: Bus) -> list[str]:
    if bus.kind in SERIAL_KINDS:
        needed = ["port"]
    elif bus.kind in TCP_KINDS:
        needed = ["host", "tcp_port"]
    elif bus.kind is BusKind.CAN:
        needed = ["interface", "channel"]
        needed += ["host", "tcp_port"] if bus.interface == "socketcand" else []
    elif bus.kind is BusKind.MQTT:
        needed = ["url", "topic"]
    else:
        needed = ["chip"]
    return [key for key in needed if getattr(bus, key) is None]


def _shared(site: SiteFile) -> Iterator[Finding]:
    ports = [bus.port or f"{bus.host}:{bus.tcp_port}:{bus.channel}:{bus.topic}:{bus.chip}"
             for bus in site.buses]  # fmt: skip
    for i, port in _repeats(ports):
        yield Finding(
            ("buses", i, "port"),
            f"two buses use {port!r}",
            "put the devices of one line on one bus",
        )
    for i, (bus, unit) in _repeats((device.bus, device.unit) for device in site.devices):
        yield Finding(
            ("devices", i, "unit"),
            f"unit {unit} stands twice on bus {bus!r}",
            "give each device on a bus its own unit",
        )
    for i, (control, channel) in _repeats(
        (each.control, each.control_channel) for each in site.connectors
    ):
        yield Finding(
            ("connectors", i, "control_channel"),
            f"channel {channel} of {control!r} stands twice",
            "give each connector its own channel",
        )
    for i, (station, evse) in _repeats((each.station, each.evse) for each in site.connectors):
        yield Finding(
            ("connectors", i, "evse"),
            f"evse {evse} of station {station!r} stands twice",
            "give each connector of a station its own evse",
        )


def _fail_safe_sum(site: SiteFile) -> Iterator[Finding]:
    """All controllers may fall to their fail-safe at once: the fuse must bear that."""
    per_phase = Counter(phase for each in site.connectors for phase in set(each.phases))
    for phase, count in sorted(per_phase.items()):
        sum_a = count * site.supply.fail_safe_a
        if sum_a > site.supply.fuse_a:
            yield Finding(
                ("supply", "fail_safe_a"),
                f"{count} connectors on L{phase} fall back to {site.supply.fail_safe_a} A each: "
                f"{sum_a} A is above the fuse of {site.supply.fuse_a} A",
                f"set fail_safe_a to {site.supply.fuse_a // count} or less",
            )


def _phases(site: SiteFile) -> Iterator[Finding]:
    for i, each in enumerate(site.connectors):
        if len(set(each.phases)) != len(each.phases):
            yield Finding(
                ("connectors", i, "phases"),
                f"connector {each.id} names a grid phase twice",
                "name the grid phase behind L1, L2, L3 once each",
            )
        beyond = [phase for phase in each.phases if phase > site.supply.phases]
        if beyond:
            yield Finding(
                ("connectors", i, "phases"),
                f"connector {each.id} uses L{beyond[0]}, the supply has {site.supply.phases}",
                "correct supply.phases or the connector's phases",
            )


_RULES: list[Rule] = [
    _time_zone,
    _duplicates,
    _references,
    _bus_keys,
    _shared,
    _fail_safe_sum,
    _phases,
]
