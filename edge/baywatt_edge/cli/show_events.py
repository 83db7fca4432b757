"""`baywatt why` and `baywatt events` for people."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from baywatt_edge.cli.words import ago, amperes, clock_time, facts, style_of

_EVENT_STYLES = {
    "Fault": "bold red",
    "SessionRefused": "yellow",
    "CommandRefused": "yellow",
    "TelemetryDropped": "yellow",
    "FaultCleared": "green",
    "ChargingStarted": "bold green",
    "ChargingStopped": "bold cyan",
    "Session": "cyan",
    "MeterSampled": "dim",
}


def why_chain(document: dict[str, Any]) -> Text:
    """The rules behind a connector's status and limit, one below the other."""
    state = document["state"]
    text = Text(f"connector {document['connector']}  ", style="bold")
    text.append(state, style=style_of(state))
    text.append(f"  {amperes(document['limit_ma'])} A", style="default")
    for step in document["steps"]:
        text.append(f"\n  └ {step['rule']}: ", style="not bold cyan")
        text.append(step["says"], style="not bold default")
        if step["limit_ma"] is not None:
            text.append(f" → {amperes(step['limit_ma'])} A", style="not bold green")
        if since := ago(step["since"], document.get("now")):
            text.append(f"  since {clock_time(step['since'])} ({since})", style="not bold dim")
    return text


def event_row(event: dict[str, Any]) -> Table:
    """One event for a terminal: local time, type in its colour, its facts folded beside them."""
    row = Table.grid(padding=(0, 1))
    row.add_column(width=8, style="dim", no_wrap=True)
    row.add_column(width=19, style=_event_style(event["type"]), no_wrap=True)
    row.add_column(overflow="fold")
    row.add_row(clock_time(event["time"]), Text(event["type"]), Text(facts(event["data"])))
    return row


def event_line(event: dict[str, Any]) -> str:
    """One event as one plain line, for pipes and files."""
    return f"{clock_time(event['time'])} {event['type']:<19} {facts(event['data'])}".rstrip()


def _event_style(name: str) -> str:
    if name in _EVENT_STYLES:
        return _EVENT_STYLES[name]
    return next((style for head, style in _EVENT_STYLES.items() if name.startswith(head)), "")
