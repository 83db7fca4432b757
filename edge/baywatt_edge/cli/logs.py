"""Where the daemon's log goes: stderr, and with systemd's priorities where it reads along."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping

# syslog(3) severities, the `<N>` prefixes of sd-daemon(3).
_PRIORITIES = {"CRITICAL": 2, "ERROR": 3, "WARNING": 4, "INFO": 6, "DEBUG": 7}


class JournaldFormatter(logging.Formatter):
    """Each line with its priority; systemd's journal knows the time already."""

    def format(self, record: logging.LogRecord) -> str:
        """All lines of the record, each with the prefix."""
        prefix = f"<{_PRIORITIES.get(record.levelname, 6)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def set_up(level: str, environ: Mapping[str, str] = os.environ) -> None:
    """Send the log to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    if "JOURNAL_STREAM" in environ:
        handler.setFormatter(JournaldFormatter("%(name)s: %(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])
