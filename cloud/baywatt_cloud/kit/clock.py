"""The cloud's only clock: UTC milliseconds, handed in wherever the time matters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, PlainSerializer

from baywatt_contract.clock import format_utc_ms

UtcClock = Callable[[], int]
"""Returns UTC in milliseconds since 1970; tests pass one they can turn."""

_LATEST = datetime(2200, 1, 1, tzinfo=UTC)
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


def system_clock() -> int:
    """The machine's UTC clock in milliseconds."""
    return int(datetime.now(UTC).timestamp() * 1000)


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970 of an aware datetime."""
    return int(moment.timestamp() * 1000)


def _plausible(moment: datetime) -> datetime:
    if not _EARLIEST <= moment <= _LATEST:
        raise ValueError("a time between 2000 and 2200")
    return moment


Moment = Annotated[
    AwareDatetime,
    AfterValidator(_plausible),
    PlainSerializer(lambda value: format_utc_ms(to_ms(value)), return_type=str),
]
"""A time in a request: RFC 3339 with an offset, between 2000 and 2200."""

UtcText = Annotated[str, "RFC 3339 in UTC"]


def text_or_none(utc_ms: int | None) -> str | None:
    """RFC 3339 of an optional moment."""
    return None if utc_ms is None else format_utc_ms(utc_ms)
