"""OCPP-J frames: bytes of a websocket message to typed values and back (OCPP-J 1.6, section 4.2).

Nothing in here knows a version or an action.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

MAX_ID_CHARS = 36
MAX_ACTION_CHARS = 64
UNREADABLE_ID = "-1"
"""The message id of a CALLERROR to a frame whose own id could not be read."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """[2, id, action, payload]; `payload` is as it came, not yet checked."""

    message_id: str
    action: str
    payload: object


@dataclass(frozen=True, slots=True)
class CallResult:
    """[3, id, payload]."""

    message_id: str
    payload: object


@dataclass(frozen=True, slots=True)
class CallError:
    """[4, id, code, description, details]."""

    message_id: str
    code: str
    description: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """A frame that is none of these; `answerable` when it may have been a CALL."""

    message_id: str
    reason: str
    answerable: bool


Frame = Call | CallResult | CallError | Malformed


def decode(data: bytes, max_bytes: int) -> Frame:
    """The frame in `data`; whatever the other end sent, this returns a value."""
    if len(data) > max_bytes:
        reason = f"{len(data)} bytes, at most {max_bytes}"
        return Malformed(UNREADABLE_ID, reason, answerable=data.lstrip()[:2] == b"[2")
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return Malformed(UNREADABLE_ID, f"not JSON: {error}", answerable=True)
    if not isinstance(value, list) or not value:
        return Malformed(UNREADABLE_ID, "not a JSON array", answerable=True)
    return _of_list(value)


def _of_list(value: list[Any]) -> Frame:
    kind = value[0]
    message_id = value[1] if len(value) > 1 and isinstance(value[1], str) else None
    if kind == 3 and message_id is not None and len(value) == 3:
        return CallResult(message_id, value[2])
    if kind == 4 and message_id is not None and 3 <= len(value) <= 5:
        description = value[3] if len(value) > 3 else ""
        return CallError(message_id, str(value[2])[:64], str(description)[:255])
    if kind == 2 and not isinstance(kind, bool):
        return _call(value, message_id)
    return Malformed(message_id or UNREADABLE_ID, f"no frame of type {kind!r}"[:80], False)


def _call(value: list[Any], message_id: str | None) -> Frame:
    if message_id is None or not message_id:
        return Malformed(UNREADABLE_ID, "the message id is not a string", answerable=True)
    if len(message_id) > MAX_ID_CHARS:
        echo = message_id if len(message_id) <= 255 else UNREADABLE_ID
        return Malformed(echo, f"the message id is longer than {MAX_ID_CHARS}", answerable=True)
    if len(value) != 4:
        return Malformed(message_id, f"a CALL has 4 elements, not {len(value)}", answerable=True)
    action = value[2]
    if not isinstance(action, str) or not 0 < len(action) <= MAX_ACTION_CHARS:
        return Malformed(message_id, "the action is not a name", answerable=True)
    return Call(message_id, action, value[3])


def call(message_id: str, action: str, payload: Json) -> bytes:
    """A CALL as it is sent."""
    return msgspec.json.encode([2, message_id, action, payload])


def call_result(message_id: str, payload: Json) -> bytes:
    """A CALLRESULT as it is sent."""
    return msgspec.json.encode([3, message_id, payload])


def call_error(message_id: str, code: str, description: str) -> bytes:
    """A CALLERROR as it is sent; details are always empty (OCPP-J 1.6, 4.2.3)."""
    return msgspec.json.encode([4, message_id, code, description[:255], {}])
