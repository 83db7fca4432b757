"""The control socket: HTTP over a Unix socket for the installer's command line and metrics."""

from baywatt_edge.control.server import ControlServer
from baywatt_edge.control.socket_file import ControlSocketError

__all__ = ["ControlServer", "ControlSocketError"]
