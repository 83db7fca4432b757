"""The composition root: constructs every room of a site and ties them together."""

from baywatt_edge.daemon.run import run_daemon

__all__ = ["run_daemon"]
