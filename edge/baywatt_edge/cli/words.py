"""Quantities and colours as an installer reads them at night on 80 columns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

_STATE_STYLES = {
    "Available": "green",
    "Preparing": "cyan",
    "Charging": "bold green",
    "SuspendedEVSE": "yellow",
    "SuspendedEV": "cyan",
    "Finishing": "cyan",
    "Reserved": "magenta",
    "Unavailable": "dim",
    "Faulted": "bold red",
    "online": "green",
    "offline": "yellow",
    "none": "dim",
    "vacant": "green",
    "occupied": "cyan",
    "fault": "bold red",
    "unknown": "yellow",
    "synced": "green",
    "held": "yellow",
    "unsynced": "bold red",
}


def style_of(state: str) -> str:
    """The colour that a state has everywhere; plain for one that has none."""
    return _STATE_STYLES.get(state, "")


def amperes(ma: int) -> str:
    """`16.0` for 16000 mA."""
    return f"{ma / 1000:.1f}"


def kilo(value: int | None) -> str:
    """`7.36` for 7360 W or Wh; a dash for what is not known."""
    return "-" if value is None else f"{value / 1000:.2f}"


def clock_time(stamp: str | None) -> str:
    """An RFC 3339 stamp as the local time of day."""
    if not stamp:
        return ""
    return datetime.fromisoformat(stamp).astimezone().strftime("%H:%M:%S")


def ago(stamp: str | None, now: str | None) -> str:
    """`3 min` between two stamps; empty when one is missing."""
    if not stamp or not now:
        return ""
    passed_s = int((datetime.fromisoformat(now) - datetime.fromisoformat(stamp)).total_seconds())
    for unit_s, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if passed_s >= unit_s:
            return f"{passed_s // unit_s} {unit}"
    return f"{max(0, passed_s)} s"


def facts(data: dict[str, Any]) -> str:
    """An event's data in one line: hashes and empty values add nothing for people."""
    shown = {
        key: value
        for key, value in data.items()
        if value not in (None, "", [], {}) and not key.endswith("_hash")
    }
    return " ".join(f"{key}={_short(value)}" for key, value in shown.items())


def _short(value: Any) -> str:  # noqa: ANN401 - whatever the event carries
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= 48 else text[:47] + "…"
