"""Arguments and options that several commands share, and how they print."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs: `--help` must be quick

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from baywatt_edge.cli.client import DaemonClient

DEFAULT_SITE = Path("/etc/baywatt/site.toml")
DEFAULT_SOCKET = Path("/run/baywatt/control.sock")

Site = Annotated[Path, typer.Argument(metavar="SITE.toml", help="The site file.")]
Socket = Annotated[
    Path,
    typer.Option(
        "--control-socket", envvar="BAYWATT_CONTROL_SOCKET", help="The daemon's control socket."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Profiles = Annotated[
    Path | None, typer.Option(help="A folder with device profiles of your own (*.toml).")
]
ConnectorArg = Annotated[int, typer.Argument(metavar="CONNECTOR", min=1, max=999)]
AnyConnectorArg = Annotated[
    int, typer.Argument(metavar="CONNECTOR", min=0, max=999, help="0 means all connectors.")
]


def daemon_at(socket: Path) -> DaemonClient:
    """The daemon behind a control socket."""
    from baywatt_edge.cli.client import DaemonClient

    return DaemonClient(socket)


def print_json(document: Any) -> None:  # noqa: ANN401 - JSON is any of its types
    """Data for programs."""
    typer.echo(json.dumps(document, ensure_ascii=False))


def show(what: RenderableType) -> None:
    """Data for people."""
    from rich.console import Console

    Console(highlight=False).print(what)


def say(text: str) -> None:
    """A word beside the data."""
    typer.echo(text, err=True)
