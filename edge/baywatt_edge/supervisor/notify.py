"""The sd_notify protocol: one datagram of `KEY=value` lines to `$NOTIFY_SOCKET` (sd_notify(3))."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

_LOG = logging.getLogger(__name__)


class SystemdNotifier:
    """Talks to systemd where it listens; everywhere else `send` does nothing."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._warned = False
        # systemd kills after WATCHDOG_USEC without a feed; half of it leaves one to be late.
        usec = environ.get("WATCHDOG_USEC", "")
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_ms: int | None = int(usec) // 2000 if usec.isdigit() and mine else None

    def send(self, *lines: str) -> None:
        """Send one state, for example `READY=1`. Never blocks, never raises."""
        if not self._address:
            return
        message = "\n".join(line.replace("\n", " ") for line in lines).encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.setblocking(False)
                sock.sendto(message, self._address)
        except OSError as error:
            _LOG.log(
                logging.DEBUG if self._warned else logging.WARNING,
                "systemd cannot be told %r: %s",
                lines[0],
                error,
            )
            self._warned = True
