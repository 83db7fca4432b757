"""The envelope that every event travels in, and batches of them on the wire."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from baywatt_contract.clock import ClockQuality

MAX_EVENTS = 500
MAX_WIRE_BYTES = 64 * 1024
MAX_INFLATED_BYTES = 1024 * 1024
_DEFLATE_ABOVE_BYTES = 1024


class BadPayloadError(ValueError):
    """The bytes are no valid message of the contract; drop them and count it."""


class Event(BaseModel):
    """One row of the journal as it travels: `id` is `{site}:{epoch}:{seq}`, unique for ever."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Annotated[str, Field(max_length=200, pattern=r"^[^:]+:[^:]+:\d+$")]
    type: Annotated[str, Field(min_length=1, max_length=64)]
    v: Annotated[int, Field(ge=1, le=1000)] = 1
    time: Annotated[str, Field(max_length=40)]
    mono_ms: Annotated[int, Field(ge=0)]
    boot: Annotated[int, Field(ge=0)]
    clock: ClockQuality
    trace: Annotated[str, Field(max_length=64)] = ""
    data: dict[str, Any]

    @property
    def site(self) -> str:
        """The site that made the event."""
        return self.id.split(":")[0]

    @property
    def epoch(self) -> str:
        """The random id of the database that made the event."""
        return self.id.split(":")[1]

    @property
    def seq(self) -> int:
        """The event's place in its stream of that epoch."""
        return int(self.id.split(":")[2])


_BATCH = TypeAdapter(Annotated[list[Event], Field(max_length=MAX_EVENTS)])


def pack(value: object) -> bytes:
    """JSON, zlib-deflated when that pays; the first byte tells which."""
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    return body if len(body) <= _DEFLATE_ABOVE_BYTES else zlib.compress(body, 6)


def unpack(payload: bytes) -> Any:  # noqa: ANN401 - JSON is any of its types
    """The JSON value in `payload`, inflating at most MAX_INFLATED_BYTES.

    Raises BadPayloadError naming what is wrong.
    """
    if len(payload) > MAX_WIRE_BYTES:
        raise BadPayloadError(f"{len(payload)} bytes on the wire, at most {MAX_WIRE_BYTES}")
    try:
        return _parsed(_inflate(payload) if payload[:1] == b"\x78" else payload)
    except BadPayloadError:
        raise
    except (ValueError, RecursionError, zlib.error) as error:
        raise BadPayloadError(f"neither JSON nor deflated JSON: {error}") from error


def _parsed(body: bytes) -> Any:  # noqa: ANN401
    """Strict JSON: what Python alone understands would fail at the database or the next reader."""
    value = json.loads(body, parse_float=_finite, parse_constant=_finite)
    if b"\\u" in body:  # only an escape can bring half a surrogate pair in
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BadPayloadError(f"{text} is no JSON number")
    return number


def _inflate(payload: bytes) -> bytes:
    inflater = zlib.decompressobj()
    body = inflater.decompress(payload, MAX_INFLATED_BYTES)
    if inflater.unconsumed_tail or not inflater.eof:
        raise BadPayloadError(f"inflates past {MAX_INFLATED_BYTES} bytes or is cut short")
    return body


def pack_events(events: Sequence[Event]) -> bytes:
    """A batch as it is published. The caller keeps it within MAX_EVENTS and MAX_WIRE_BYTES."""
    return pack([event.model_dump(mode="json") for event in events])


def unpack_events(payload: bytes) -> list[Event]:
    """The events of a batch; raises BadPayloadError."""
    try:
        return _BATCH.validate_python(unpack(payload))
    except ValidationError as error:
        raise BadPayloadError(str(error.errors(include_url=False)[0])) from error
