"""Pages of lists: an opaque cursor, so that what it means may change."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from fastapi import Depends, Query

from baywatt_cloud.kit.problems import UnprocessableError

_MOST = 100_000


class BadCursorError(UnprocessableError):
    """The cursor is none of ours: begin again without one."""

    kind, title = "bad-cursor", "This cursor is not valid"


def next_cursor(offset: int, limit: int, found: int) -> str | None:
    """The cursor of the next page, None after the last; `found` counts one row too many."""
    if found <= limit:
        return None
    return base64.urlsafe_b64encode(f"o{offset + limit}".encode()).decode()


def _offset(cursor: Annotated[str | None, Query(max_length=40)] = None) -> int:
    if cursor is None:
        return 0
    try:
        text = base64.urlsafe_b64decode(cursor.encode()).decode("ascii")
        offset = int(text.removeprefix("o"))
    except (ValueError, binascii.Error) as error:
        raise BadCursorError("take `next` of the page before") from error
    if not 0 <= offset <= _MOST:
        raise BadCursorError("take `next` of the page before")
    return offset


Cursor = Annotated[int, Depends(_offset)]
"""The offset in the query's `cursor`."""
