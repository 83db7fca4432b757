"""Payloads of frames to messages; every bound of a received message is checked here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import TypeVar

from baywatt_bridge import messages as m
from baywatt_bridge.errors import BadMessageError
from baywatt_bridge.layout import Layout
from baywatt_bridge.vocabulary import (
    KNOWN_FAULTS,
    ChannelFlag,
    ChannelKind,
    ControlFlag,
    Fault,
    HostLoss,
    Kind,
    Lock,
    Pilot,
    ResetReason,
    Result,
    SelfTest,
    StateFlag,
)

E = TypeVar("E", bound=IntEnum)
_MIN_UID, _MAX_UID = 4, 10


def decode(payload: bytes) -> m.Message | None:
    """The message in a payload, None for a kind that only a later version knows.

    Raises BadMessageError.
    """
    if not payload:
        raise BadMessageError("an empty payload")
    reader = _READERS.get(payload[0])
    return None if reader is None else reader(payload[1:])


def _text(data: bytes) -> str:
    """Printable ASCII up to the first zero; anything else would end up in logs and tables."""
    raw = data.split(b"\x00")[0]
    if not all(0x20 <= byte < 0x7F for byte in raw):
        raise BadMessageError(f"{raw!r} is not printable ASCII")
    return raw.decode("ascii")


def _enum(kind: type[E], value: int) -> E:
    try:
        return kind(value)
    except ValueError:
        raise BadMessageError(f"{value} is no {kind.__name__}") from None


def _reset_reason(value: int) -> ResetReason:
    return ResetReason(value) if value in set(ResetReason) else ResetReason.UNKNOWN


def _faults(bits: int) -> Fault:
    """Bits of later versions show as CONTROLLER: a fault nobody can name is still one."""
    known = Fault(bits & KNOWN_FAULTS)
    return known if known == bits else known | Fault.CONTROLLER


def _entries(body: bytes, head: Layout, entry: Layout, count: int, size: int) -> Iterator[int]:
    """The offset of each array entry, after checking that they are all there."""
    if count > m.MAX_CHANNELS or size < entry.size:
        raise BadMessageError(f"{count} entries of {size} bytes")
    if len(body) < head.size + count * size:
        raise BadMessageError(f"{len(body)} bytes do not hold {count} entries of {size} bytes")
    return iter(range(head.size, head.size + count * size, size))


def _read_hello(body: bytes) -> m.Message:
    major, minor, session = m.HELLO.unpack(body)
    return m.Hello(session, major, minor)


def _read_welcome(body: bytes) -> m.Message:
    (major, minor, session, board_type, serial, firmware, boot_counter, reason, self_test,
     count, size) = m.WELCOME.unpack(body)  # fmt: skip
    channels = []
    for at in _entries(body, m.WELCOME, m.WELCOME_CHANNEL, count, size):
        channel, kind, phases, max_ma = m.WELCOME_CHANNEL.unpack(body, at)
        channels.append(m.ChannelInfo(channel, _enum(ChannelKind, kind), phases, max_ma))
    return m.Welcome(
        session=session,
        major=major,
        minor=minor,
        board_type=_text(board_type),
        serial=_text(serial),
        firmware=_text(firmware),
        boot_counter=boot_counter,
        reset_reason=_reset_reason(reason),
        self_test=_enum(SelfTest, self_test),
        channels=tuple(channels),
    )


def _read_control(body: bytes) -> m.Message:
    session, sequence, count, size = m.CONTROL.unpack(body)
    channels = []
    for at in _entries(body, m.CONTROL, m.CONTROL_CHANNEL, count, size):
        channel, flags, phases, unlock, limit_ma = m.CONTROL_CHANNEL.unpack(body, at)
        if phases not in {1, 3}:
            raise BadMessageError(f"{phases} phases; 1 or 3")
        permit, available = (bool(flags & f) for f in (ControlFlag.PERMIT, ControlFlag.AVAILABLE))
        channels.append(m.ChannelControl(channel, permit, limit_ma, phases, available, unlock))
    return m.Control(session, sequence, tuple(channels))


def _read_state(body: bytes) -> m.Message:
    session, sequence, echo, uptime_ms, flags, reason, count, size = m.STATE.unpack(body)
    reports = tuple(
        _report(body, at) for at in _entries(body, m.STATE, m.STATE_CHANNEL, count, size)
    )
    boot_locked = bool(flags & StateFlag.BOOT_LOCKED)
    return m.State(session, sequence, echo, uptime_ms, boot_locked, _reset_reason(reason), reports)


def _report(body: bytes, at: int) -> m.ChannelReport:
    (channel, pilot, flags, lock, host_lost, phases, faults, latched, offered_ma,
     cable_max_ma) = m.STATE_CHANNEL.unpack(body, at)  # fmt: skip
    closed = bool(flags & ChannelFlag.CONTACTOR_CLOSED)
    return m.ChannelReport(
        channel=channel,
        pilot=_enum(Pilot, pilot),
        contactor_closed=closed if flags & ChannelFlag.MIRROR_PRESENT else None,
        lock=_enum(Lock, lock),
        offered_ma=offered_ma,
        host_lost=_enum(HostLoss, host_lost),
        phases=phases,
        faults=_faults(faults),
        latched=_faults(latched),
        cable_max_ma=cable_max_ma,
        power_enabled=bool(flags & ChannelFlag.POWER_ENABLED),
    )


def _read_card(body: bytes) -> m.Message:
    session, counter, channel, length, uid, age_ms = m.CARD_READ.unpack(body)
    if not _MIN_UID <= length <= _MAX_UID:
        raise BadMessageError(f"a UID of {length} bytes; {_MIN_UID} to {_MAX_UID}")
    return m.CardRead(session, counter, channel, uid[:length], age_ms)


def _read_card_ack(body: bytes) -> m.Message:
    return m.CardAck(*m.CARD_ACK.unpack(body))


def _read_get(body: bytes) -> m.Message:
    return m.GetParameters(*m.GET_PARAMETERS.unpack(body))


def _read_set(body: bytes) -> m.Message:
    session, request, *block = m.SET_PARAMETERS.unpack(body)
    return m.SetParameters(session, request, m.ParameterBlock(*block))


def _read_parameters(body: bytes) -> m.Message:
    session, request, result, *block = m.PARAMETERS.unpack(body)
    return m.Parameters(session, request, _enum(Result, result), m.ParameterBlock(*block))


def _read_clear(body: bytes) -> m.Message:
    session, request, channel, faults = m.CLEAR_LATCH.unpack(body)
    return m.ClearLatch(session, request, channel, Fault(faults & KNOWN_FAULTS))


def _read_latch_answer(body: bytes) -> m.Message:
    session, request, channel, result, latched = m.LATCH_ANSWER.unpack(body)
    return m.LatchAnswer(session, request, channel, _enum(Result, result), _faults(latched))


_READERS: dict[int, Callable[[bytes], m.Message]] = {
    Kind.HELLO: _read_hello,
    Kind.WELCOME: _read_welcome,
    Kind.CONTROL: _read_control,
    Kind.STATE: _read_state,
    Kind.CARD_READ: _read_card,
    Kind.CARD_ACK: _read_card_ack,
    Kind.GET_PARAMETERS: _read_get,
    Kind.SET_PARAMETERS: _read_set,
    Kind.PARAMETERS: _read_parameters,
    Kind.CLEAR_LATCH: _read_clear,
    Kind.LATCH_ANSWER: _read_latch_answer,
}
