"""`baywatt-sim`: everything that stands around a daemon, simulated on real transports."""

from __future__ import annotations

import typer

from baywatt_sim.csms_cli import csms
from baywatt_sim.demo_cli import demo
from baywatt_sim.site_cli import site

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__
)
app.command("site")(site)
app.command("csms")(csms)
app.command("demo")(demo)


def main() -> None:
    """Entry point of the script."""
    app()
