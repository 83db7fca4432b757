"""`baywatt-sim`: everything that stands around a daemon, simulated on real transports."""

from __future__ import annotations

import typer

from baywatt_sim.site_cli import site

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.callback()
def _main() -> None:
    """Keep `site` a sub-command even while it is the only one."""


app.command("site")(site)


def main() -> None:
    """Entry point of the script."""
    app()
