"""The RPC layer of OCPP-J, sans I/O: one outstanding CALL, time-outs, late answers, bad frames.

Feed it what arrived and what time it is; it returns what to write and what to tell the station.
Times are milliseconds of a monotonic clock.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from baywatt_edge.ocpp import frames
from baywatt_edge.ocpp.errors import BusyError, ErrorCode, RefusedCallError
from baywatt_edge.ocpp.frames import Json
from baywatt_edge.ocpp.schemas import Schemas

MAX_FRAME_BYTES = 256 * 1024
MAX_UNANSWERED = 16
"""Inbound CALLs under way at once; the protocol allows the other end one (1.6J, 4.1.1)."""


def new_message_id() -> str:
    """36 characters, unique over connections and reboots (OCPP-J 1.6 errata, 3.1 and 3.7)."""
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between versions: schemas and the spelling of error codes."""

    subprotocol: str
    schemas: Schemas
    spelling: Mapping[ErrorCode, str]

    def code(self, code: ErrorCode) -> str:
        """The code as this version writes it."""
        return self.spelling.get(code, code.value)


class FailureKind(StrEnum):
    """How a CALL of ours came to nothing."""

    REFUSED = "refused"  # a CALLERROR
    TIMEOUT = "timeout"
    LOST = "lost"  # the connection went before the answer
    MALFORMED = "malformed"  # the CALLRESULT does not fit its schema


@dataclass(frozen=True, slots=True)
class Failure:
    """A CALL of ours that has no usable answer."""

    kind: FailureKind
    detail: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The outstanding CALL is over."""

    action: str
    outcome: Json | Failure


@dataclass(frozen=True, slots=True)
class Asked:
    """The other end asks; answer with `result` or `error` under the same message id."""

    message_id: str
    action: str
    payload: Json


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes that must go out now."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something that was ignored; `reason` for the log."""

    reason: str


Received = Answered | Asked | Write | Dropped


@dataclass(frozen=True, slots=True)
class _Outstanding:
    message_id: str
    action: str
    sent_ms: int
    deadline_ms: int


class Rpc:
    """The state of one connection."""

    def __init__(
        self,
        dialect: Dialect,
        new_id: Callable[[], str] = new_message_id,
        max_frame_bytes: int = MAX_FRAME_BYTES,
    ) -> None:
        self._dialect = dialect
        self._new_id = new_id
        self._max_frame_bytes = max_frame_bytes
        self._outstanding: _Outstanding | None = None
        self._unanswered: dict[str, str] = {}  # inbound message id -> action

    @property
    def idle(self) -> bool:
        """Whether a CALL may be sent now."""
        return self._outstanding is None

    @property
    def deadline_ms(self) -> int | None:
        """When `expire` has something to say."""
        return None if self._outstanding is None else self._outstanding.deadline_ms

    def call(self, action: str, payload: Json, now_ms: int, timeout_ms: int) -> bytes:
        """The CALL to write. Raises BusyError, or BadOutgoingError for a payload that is wrong."""
        if self._outstanding is not None:
            raise BusyError(f"{self._outstanding.action} is outstanding")
        self._dialect.schemas.check_outgoing(action, payload)
        message_id = self._new_id()
        data = frames.call(message_id, action, payload)
        self._outstanding = _Outstanding(message_id, action, now_ms, now_ms + timeout_ms)
        return data

    def expire(self, now_ms: int) -> Answered | None:
        """The outstanding CALL as a time-out, once its time is up."""
        waiting = self._outstanding
        if waiting is None or now_ms < waiting.deadline_ms:
            return None
        self._outstanding = None
        waited_ms = now_ms - waiting.sent_ms
        failure = Failure(FailureKind.TIMEOUT, f"no answer to {waiting.action} in {waited_ms} ms")
        return Answered(waiting.action, failure)

    def lost(self) -> Answered | None:
        """The connection is gone: forget everything that belonged to it."""
        waiting, self._outstanding = self._outstanding, None
        self._unanswered.clear()
        if waiting is None:
            return None
        return Answered(waiting.action, Failure(FailureKind.LOST, "the connection was lost"))

    def receive(self, data: bytes) -> Received:
        """What a received message means. Never raises, whatever it holds."""
        frame = frames.decode(data, self._max_frame_bytes)
        match frame:
            case frames.Call():
                return self._asked(frame)
            case frames.CallResult() | frames.CallError():
                return self._answered(frame)
            case frames.Malformed(answerable=False):
                return Dropped(frame.reason)
            case frames.Malformed():
                return Write(self._refusal(frame.message_id, ErrorCode.FORMAT, frame.reason))

    def result(self, message_id: str, payload: Json) -> bytes | None:
        """The CALLRESULT to write; None when nobody waits for it any more.

        Raises BadOutgoingError for a payload that is wrong.
        """
        action = self._unanswered.get(message_id)
        if action is None:
            return None
        self._dialect.schemas.check_outgoing(f"{action}Response", payload)
        del self._unanswered[message_id]
        return frames.call_result(message_id, payload)

    def error(self, message_id: str, code: ErrorCode, description: str) -> bytes | None:
        """The CALLERROR to write; None when nobody waits for it any more."""
        if self._unanswered.pop(message_id, None) is None:
            return None
        return self._refusal(message_id, code, description)

    def forget(self, message_id: str) -> None:
        """An inbound CALL that shall stay without an answer (1.6 section 4.2, Rejected)."""
        self._unanswered.pop(message_id, None)

    def _asked(self, call: frames.Call) -> Received:
        schemas = self._dialect.schemas
        if call.message_id in self._unanswered:
            text = "a CALL with this message id is being handled already"
            return Write(self._refusal(call.message_id, ErrorCode.GENERIC, text))
        if len(self._unanswered) >= MAX_UNANSWERED:
            text = f"{MAX_UNANSWERED} CALLs are being handled already"
            return Write(self._refusal(call.message_id, ErrorCode.GENERIC, text))
        if not schemas.knows(call.action):
            text = f"{call.action} is not known"
            return Write(self._refusal(call.message_id, ErrorCode.NOT_IMPLEMENTED, text))
        try:
            payload = schemas.check_incoming(call.action, call.payload)
        except RefusedCallError as error:
            return Write(self._refusal(call.message_id, error.code, error.description))
        self._unanswered[call.message_id] = call.action
        return Asked(call.message_id, call.action, payload)

    def _answered(self, frame: frames.CallResult | frames.CallError) -> Received:
        waiting = self._outstanding
        if waiting is None or waiting.message_id != frame.message_id:
            return Dropped("an answer that nobody waits for (late or duplicate)")
        self._outstanding = None
        if isinstance(frame, frames.CallError):
            detail = f"{frame.code}: {frame.description}".strip(": ")
            return Answered(waiting.action, Failure(FailureKind.REFUSED, detail))
        try:
            payload = self._dialect.schemas.check_incoming(
                f"{waiting.action}Response", frame.payload
            )
        except RefusedCallError as error:
            failure = Failure(FailureKind.MALFORMED, error.description)
            return Answered(waiting.action, failure)
        return Answered(waiting.action, payload)

    def _refusal(self, message_id: str, code: ErrorCode, description: str) -> bytes:
        return frames.call_error(message_id, self._dialect.code(code), description)
