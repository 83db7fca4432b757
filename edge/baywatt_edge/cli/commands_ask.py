"""Commands that ask something of a running daemon: sessions and connectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from baywatt_edge.cli.exits import RefusedError
from baywatt_edge.cli.options import (
    DEFAULT_SOCKET,
    AnyConnectorArg,
    AsJson,
    ConnectorArg,
    Socket,
    daemon_at,
    print_json,
)

session = typer.Typer(help="Start or stop a session by hand.", no_args_is_help=True)
connector = typer.Typer(help="Unlock, enable or disable a connector.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(session, name="session")
    app.add_typer(connector, name="connector")


@session.command("start")
def session_start(
    connector_id: ConnectorArg,
    token: Annotated[str | None, typer.Option(help="The token to authorise as.")] = None,
    control_socket: Socket = DEFAULT_SOCKET,
    as_json: AsJson = False,
) -> None:
    """Authorise a session at a connector."""
    extra = {} if token is None else {"token": token}
    _wish(control_socket, "session/start", {"connector": connector_id, **extra}, as_json)


@session.command("stop")
def session_stop(
    connector_id: ConnectorArg, control_socket: Socket = DEFAULT_SOCKET, as_json: AsJson = False
) -> None:
    """End the session at a connector."""
    _wish(control_socket, "session/stop", {"connector": connector_id}, as_json)


@connector.command("unlock")
def connector_unlock(
    connector_id: ConnectorArg, control_socket: Socket = DEFAULT_SOCKET, as_json: AsJson = False
) -> None:
    """Release the plug; a running session ends first."""
    _wish(control_socket, "connector/unlock", {"connector": connector_id}, as_json)


@connector.command("enable")
def connector_enable(
    connector_id: AnyConnectorArg,
    control_socket: Socket = DEFAULT_SOCKET,
    as_json: AsJson = False,
) -> None:
    """Take a connector into service."""
    _wish(control_socket, "connector/enable", {"connector": connector_id}, as_json)


@connector.command("disable")
def connector_disable(
    connector_id: AnyConnectorArg,
    control_socket: Socket = DEFAULT_SOCKET,
    as_json: AsJson = False,
) -> None:
    """Take a connector out of service, once a running session has ended by itself."""
    _wish(control_socket, "connector/disable", {"connector": connector_id}, as_json)


def _wish(socket: Path, wish: str, body: dict[str, Any], as_json: bool) -> None:
    outcome = daemon_at(socket).post(f"/wish/{wish}", body)
    if as_json:
        print_json(outcome)
    if not outcome["accepted"]:
        raise RefusedError(f"refused: {outcome['reason'] or 'the site gave no reason'}")
    if not as_json:
        of_session = f": session {outcome['session']}" if outcome["session"] else ""
        typer.echo(f"{wish.replace('/', ' ')} {body['connector']} accepted{of_session}")
