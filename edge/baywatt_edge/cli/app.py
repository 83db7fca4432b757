"""The command line as a whole, and the commands that need no daemon."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs: `--help` must be quick

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from baywatt_edge import __version__
from baywatt_edge.cli import commands_ask, commands_look
from baywatt_edge.cli.exits import CliError, Exit
from baywatt_edge.cli.options import DEFAULT_SITE, AsJson, Profiles, Site, print_json, say

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class LogLevel(StrEnum):
    """How much the daemon says."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"


def run() -> NoReturn:
    """Run the command line and end the process."""
    try:
        app()
    except CliError as error:
        say(str(error))
        sys.exit(error.code)
    sys.exit(Exit.OK)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"baywatt {__version__}")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run and inspect an EV charging and parking site."""


@app.command("run")
def run_site(
    *,
    site: Site = DEFAULT_SITE,
    control_socket: Annotated[
        Path | None,
        typer.Option(envvar="BAYWATT_CONTROL_SOCKET", help="Where to open the control socket."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="The data folder, instead of the site file's [storage].")
    ] = None,
    profiles: Profiles = None,
    log_level: Annotated[
        LogLevel,
        typer.Option(envvar="BAYWATT_LOG_LEVEL", case_sensitive=False, help="How much to log."),
    ] = LogLevel.INFO,
) -> None:
    """Run the daemon for a site until it is told to stop."""
    from baywatt_contract.site_load import BadSiteFileError, load_site_file
    from baywatt_edge.cli import logs

    try:
        load_site_file(site)  # a mistake is told at once, before the daemon's parts are loaded
    except BadSiteFileError as error:
        raise CliError(str(error)) from error
    from baywatt_edge.daemon import run_daemon

    logs.set_up(log_level)
    raise typer.Exit(run_daemon(site, control_socket, data, profiles))


@app.command()
def check(site: Site = DEFAULT_SITE, profiles: Profiles = None, as_json: AsJson = False) -> None:
    """Check a site file: each problem with its line, key and fix."""
    from baywatt_edge.cli.check import check as check_site

    report = check_site(site, profiles)
    if as_json:
        print_json(report.document())
    else:
        for problem in report.problems:
            typer.echo(str(problem))
    if report.site is not None:
        found = f"{len(report.site.connectors)} connectors, {len(report.site.devices)} devices"
        say(f"{site}: ok ({found})")
    raise typer.Exit(report.exit_code)


commands_look.register(app)
commands_ask.register(app)
