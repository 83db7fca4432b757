"""The cloud's commands: which wish each one is, and whether it comes too late. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from baywatt_contract.clock import parse_utc_ms
from baywatt_contract.envelope import BadPayloadError, unpack
from baywatt_contract.events import Authority, SessionId, StartSource, Token
from baywatt_contract.messages import Command, CommandKind
from baywatt_contract.wishes import (
    AvailabilityWish,
    LimitWish,
    ResetWish,
    StartWish,
    StopWish,
    UnlockWish,
    Wish,
)

MAX_ID = 64
SEEN_PREFIX = "command:"
_BY = "cloud"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A command that will not be carried out, and why in words."""

    id: str
    reason: str


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Start(_Data):
    token: Token
    driver_id: Annotated[str, Field(max_length=64)] | None = None
    booking_id: Annotated[str, Field(max_length=64)] | None = None
    limit_ma: Annotated[int, Field(ge=0, le=10**7)] | None = None


class _Stop(_Data):
    session: SessionId | None = None


class _Availability(_Data):
    operative: bool


class _Limit(_Data):
    limit_ma: Annotated[int, Field(ge=0, le=10**7)] | None = None
    seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None


class _Reset(_Data):
    hard: bool = False


def parse_command(payload: bytes) -> Command | Refusal:
    """The command in a message, or the refusal of one that this program does not understand.

    Raises BadPayloadError when there is not even an id to answer to.
    """
    value = unpack(payload)
    ident = value.get("id") if isinstance(value, dict) else None
    if not isinstance(ident, str) or not 0 < len(ident) <= MAX_ID:
        raise BadPayloadError("a command without a usable id")
    kind = value.get("kind")
    if kind not in tuple(CommandKind):
        return Refusal(ident, f"unknown kind of command {str(kind)[:40]!r}")
    try:
        command = Command.model_validate(value)
        parse_utc_ms(command.not_after)
    except ValueError as error:
        return Refusal(ident, _first_line(error))
    return command


def is_late(command: Command, utc_ms: int) -> bool:
    """Whether `not_after` has passed."""
    return utc_ms > parse_utc_ms(command.not_after)


def to_wish(command: Command, mono_ms: int) -> Wish | Refusal:
    """What the command asks of the site; `mono_ms` is now, for wishes that expire."""
    make = _WISHES.get(command.kind)
    if make is None:
        return Refusal(command.id, f"this site cannot carry out {command.kind.value!r} yet")
    try:
        return make(command, mono_ms)
    except ValueError as error:
        return Refusal(command.id, _first_line(error))


def _first_line(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg']}"[:200]
    return str(error)[:200]


def _connector(command: Command) -> int:
    if command.connector is None:
        raise ValueError(f"{command.kind.value} needs a connector")
    return command.connector


def _start(command: Command, _: int) -> Wish:
    data = _Start.model_validate(command.data)
    return StartWish(
        wish_id=command.id,
        connector_id=command.connector or 0,
        token=data.token,
        source=StartSource.CLOUD,
        authority=Authority.CLOUD,
        driver_id=data.driver_id,
        booking_id=data.booking_id,
        limit_ma=data.limit_ma,
    )


def _stop(command: Command, _: int) -> Wish:
    session = _Stop.model_validate(command.data).session
    if session is None and command.connector is None:
        raise ValueError("stop needs a session or a connector")
    return StopWish(command.id, StartSource.CLOUD, session, command.connector)


def _unlock(command: Command, _: int) -> Wish:
    return UnlockWish(command.id, _connector(command))


def _availability(command: Command, _: int) -> Wish:
    data = _Availability.model_validate(command.data)
    return AvailabilityWish(command.id, _connector(command), data.operative, _BY)


def _limit(command: Command, mono_ms: int) -> Wish:
    data = _Limit.model_validate(command.data)
    expires = None if data.seconds is None else mono_ms + data.seconds * 1000
    return LimitWish(command.id, _connector(command), _BY, data.limit_ma, expires)


def _reset(command: Command, _: int) -> Wish:
    return ResetWish(command.id, _Reset.model_validate(command.data).hard)


_WISHES: dict[CommandKind, Callable[[Command, int], Wish]] = {
    CommandKind.START: _start,
    CommandKind.STOP: _stop,
    CommandKind.UNLOCK: _unlock,
    CommandKind.AVAILABILITY: _availability,
    CommandKind.LIMIT: _limit,
    CommandKind.RESET: _reset,
}


def seen_document(command_id: str) -> str:
    """Under which key the journal remembers that a command was answered."""
    return f"{SEEN_PREFIX}{command_id}"


def seen_entry(not_after_ms: int) -> dict[str, Any]:
    """What it remembers: until when the cloud may still send it again."""
    return {"not_after_ms": not_after_ms}
