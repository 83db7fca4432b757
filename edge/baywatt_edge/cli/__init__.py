"""`baywatt`, the installer's command line. stdout is data, stderr is for people."""

from __future__ import annotations


def main() -> None:
    """The entry point; ends the process with an exit code of `exits.Exit`."""
    # Imported here so that nobody pays for the command line who only wants a part of it.
    from baywatt_edge.cli.app import run  # noqa: PLC0415

    run()
