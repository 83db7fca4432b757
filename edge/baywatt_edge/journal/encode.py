"""From what callers hand in to what the disk takes, with every bound checked before a place is."""

from __future__ import annotations

import json
from typing import Any

from baywatt_edge.journal.errors import EventTooLargeError
from baywatt_edge.journal.model import FORGET, NewEvent, Row, Stream
from baywatt_edge.journal.store import RowValues, row_values

MAX_EVENT_BYTES = 60_000  # below the wire's limit for a batch even if it cannot be deflated
MAX_DOCUMENT_BYTES = 8 << 20
MAX_NAME = 200
MAX_TRACE = 64


def place(event: NewEvent, ahead: dict[Stream, int]) -> Row:
    """The event at the next place of its stream; `ahead` (stream → next seq) moves on."""
    if len(event.trace.encode()) > MAX_TRACE:
        raise ValueError(f"trace of {len(event.trace)} characters, at most {MAX_TRACE}")
    if event.at.mono_ms < 0 or event.at.boot < 0:
        raise ValueError(f"{event.at} lies before its boot")
    payload = event.payload
    stream = Stream.of(payload)
    seq = ahead[stream]
    ahead[stream] = seq + 1
    name, version = payload.type_name(), payload.version
    return Row(stream, seq, name, version, event.at, event.trace, payload.to_data())


def values(row: Row) -> RowValues:
    """The row's columns; raises EventTooLargeError."""
    encoded = row_values(row)
    size = len(encoded[-1].encode())
    if size > MAX_EVENT_BYTES:
        raise EventTooLargeError(f"{row.type} of {size} bytes, at most {MAX_EVENT_BYTES}")
    return encoded


def document(key: str, value: Any) -> tuple[str, str | None]:  # noqa: ANN401 - JSON
    """Key and JSON text, None for one to delete; raises ValueError or TypeError."""
    _check_name(key)
    if value is None:
        return key, None
    body = json.dumps(value, separators=(",", ":"), allow_nan=False)
    if len(body) > MAX_DOCUMENT_BYTES:
        raise ValueError(f"document {key!r} of {len(body)} bytes, at most {MAX_DOCUMENT_BYTES}")
    return key, body


def cursor(name: str, seq: int) -> tuple[str, int]:
    """Name and place of a cursor; raises ValueError."""
    _check_name(name)
    if not FORGET <= seq < 2**63:
        raise ValueError(f"cursor {name!r} at {seq}")
    return name, seq


def _check_name(name: str) -> None:
    """What reaches the writer's thread must be storable: an error there would end the process."""
    if not 0 < len(name.encode()) <= MAX_NAME:
        raise ValueError(f"name of {len(name)} characters, 1 to {MAX_NAME}")
