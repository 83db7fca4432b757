"""What the cloud logs, without secrets."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

_SECRET = re.compile(r"(access_token=)[^&\s\"]+")


class WithoutTokens(logging.Filter):
    """Blanks access tokens in URLs: uvicorn logs a WebSocket's whole address."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record, its arguments without tokens."""
        if isinstance(record.args, tuple):
            record.args = tuple(_blanked(each) for each in record.args)
        return True


def _blanked(value: Any) -> Any:  # noqa: ANN401 - whatever is logged
    return _SECRET.sub(r"\1…", value) if isinstance(value, str) else value


def set_up(level: str) -> None:
    """Log to stderr at `level` (any case)."""
    logging.basicConfig(
        level=level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(WithoutTokens())
