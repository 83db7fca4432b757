"""`from` and `to` in a query: both or none."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query

from baywatt_cloud.kit.clock import Moment, to_ms
from baywatt_cloud.kit.problems import UnprocessableError


class BadWindowError(UnprocessableError):
    """The window is none: send both from and to, from first."""

    kind, title = "bad-window", "This window is not valid"


def _window(
    from_: Annotated[Moment | None, Query(alias="from")] = None,
    to: Annotated[Moment | None, Query()] = None,
) -> tuple[int, int] | None:
    if from_ is None and to is None:
        return None
    if from_ is None or to is None or to <= from_:
        raise BadWindowError("send both from and to, and from before to")
    return to_ms(from_), to_ms(to)


Window = Annotated[tuple[int, int] | None, Depends(_window)]
"""(from, to) in UTC milliseconds, None when the query names no window."""
