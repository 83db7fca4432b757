"""One WARNING per outage, DEBUG for its repetitions, one INFO when it is over."""

from __future__ import annotations

import logging


class WarnOnce:
    """Keeps a flapping thing from flooding the log."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._out = False

    def failed(self, message: str) -> None:
        """It is out (still or again)."""
        self._log.log(logging.DEBUG if self._out else logging.WARNING, "%s", message)
        self._out = True

    def works(self, message: str) -> None:
        """It works; said only after an outage."""
        if self._out:
            self._log.info("%s", message)
        self._out = False
