"""Commands that look at a running daemon: status, why, events."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs: `--help` must be quick

from __future__ import annotations

import json
import sys
from typing import Annotated
from urllib.parse import urlencode

import typer

from baywatt_edge.cli.options import (
    DEFAULT_SOCKET,
    AsJson,
    ConnectorArg,
    Socket,
    daemon_at,
    print_json,
    show,
)

_LAST_FOR_PEOPLE = 50


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(status)
    app.command()(why)
    app.command()(events)


def status(
    control_socket: Socket = DEFAULT_SOCKET,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Keep the screen up to date.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the site as it stands now."""
    daemon = daemon_at(control_socket)
    if watch:
        from baywatt_edge.cli.watch import watch_json, watch_screen

        (watch_json if as_json else watch_screen)(daemon)
    document = daemon.get("/status")
    if as_json:
        print_json(document)
        return
    from baywatt_edge.cli.show_status import status_screen

    show(status_screen(document))


def why(
    connector: ConnectorArg, control_socket: Socket = DEFAULT_SOCKET, as_json: AsJson = False
) -> None:
    """Explain a connector's status and limit: which rule, which input, since when."""
    document = daemon_at(control_socket).get(f"/why/{connector}")
    if as_json:
        print_json(document)
        return
    from baywatt_edge.cli.show_events import why_chain

    show(why_chain(document))


def events(
    *,
    control_socket: Socket = DEFAULT_SOCKET,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more.")] = False,
    after: Annotated[
        int | None, typer.Option(min=0, help="Begin after this sequence number.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, max=1_000_000, help="At most N.")] = None,
    last: Annotated[
        int | None,
        typer.Option(min=0, max=1_000_000, help="Begin with the last N (people see 50)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what happened. With --json: everything, one envelope per line."""
    if not as_json and last is None and after is None and limit is None:
        last = _LAST_FOR_PEOPLE
    given = {"after": after, "limit": limit, "tail": last, "follow": "true" if follow else None}
    query = urlencode({name: value for name, value in given.items() if value is not None})
    lines = daemon_at(control_socket).lines(f"/events?{query}")
    if as_json:
        for line in lines:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
        return
    from baywatt_edge.cli.show_events import event_line, event_row

    for line in lines:
        event = json.loads(line)
        if sys.stdout.isatty():
            show(event_row(event))
        else:
            typer.echo(event_line(event))
