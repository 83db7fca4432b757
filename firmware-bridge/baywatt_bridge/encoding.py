"""Messages to the payloads of frames."""

from __future__ import annotations

from baywatt_bridge import messages as m
from baywatt_bridge.vocabulary import ChannelFlag, ControlFlag, Kind, StateFlag

_Short = m.CardAck | m.GetParameters | m.SetParameters | m.Parameters | m.ClearLatch | m.LatchAnswer


def encode(message: m.Message) -> bytes:
    """The payload of a frame; raises ValueError when a value does not fit its field."""
    kind, body = _pack(message)
    return bytes([kind]) + body


def _pack(message: m.Message) -> tuple[Kind, bytes]:
    match message:
        case m.Control():
            return Kind.CONTROL, _pack_control(message)
        case m.State():
            return Kind.STATE, _pack_state(message)
        case m.Hello(session, major, minor):
            return Kind.HELLO, m.HELLO.pack(major, minor, session)
        case m.Welcome():
            return Kind.WELCOME, _pack_welcome(message)
        case m.CardRead(session, counter, channel, uid, age_ms):
            return Kind.CARD_READ, m.CARD_READ.pack(
                session, counter, channel, len(uid), uid, min(age_ms, 0xFFFF)
            )
        case _:
            return _pack_short(message)


def _pack_short(message: _Short) -> tuple[Kind, bytes]:
    match message:
        case m.CardAck(session, counter):
            return Kind.CARD_ACK, m.CARD_ACK.pack(session, counter)
        case m.GetParameters(session, request):
            return Kind.GET_PARAMETERS, m.GET_PARAMETERS.pack(session, request)
        case m.SetParameters(session, request, block):
            return Kind.SET_PARAMETERS, m.SET_PARAMETERS.pack(session, request, *_values(block))
        case m.Parameters(session, request, result, block):
            return Kind.PARAMETERS, m.PARAMETERS.pack(session, request, result, *_values(block))
        case m.ClearLatch(session, request, channel, faults):
            return Kind.CLEAR_LATCH, m.CLEAR_LATCH.pack(session, request, channel, faults)
        case m.LatchAnswer(session, request, channel, result, latched):
            return Kind.LATCH_ANSWER, m.LATCH_ANSWER.pack(
                session, request, channel, result, latched
            )


def _values(block: m.ParameterBlock) -> tuple[int, int, int]:
    return block.fail_safe_ma, block.host_loss_ms, block.host_loss_open_ms


def _pack_control(message: m.Control) -> bytes:
    head = m.CONTROL.pack(
        message.session, message.sequence, len(message.channels), m.CONTROL_CHANNEL.size
    )
    return head + b"".join(
        m.CONTROL_CHANNEL.pack(
            each.channel,
            _bit(each.permit, ControlFlag.PERMIT) | _bit(each.available, ControlFlag.AVAILABLE),
            each.phases,
            each.unlock,
            each.limit_ma,
        )
        for each in message.channels
    )


def _pack_state(message: m.State) -> bytes:
    head = m.STATE.pack(
        message.session,
        message.sequence,
        message.control_sequence,
        message.uptime_ms,
        _bit(message.boot_locked, StateFlag.BOOT_LOCKED),
        message.reset_reason,
        len(message.channels),
        m.STATE_CHANNEL.size,
    )
    return head + b"".join(_pack_report(each) for each in message.channels)


def _pack_report(each: m.ChannelReport) -> bytes:
    flags = (
        _bit(each.contactor_closed is True, ChannelFlag.CONTACTOR_CLOSED)
        | _bit(each.contactor_closed is not None, ChannelFlag.MIRROR_PRESENT)
        | _bit(each.power_enabled, ChannelFlag.POWER_ENABLED)
    )
    return m.STATE_CHANNEL.pack(
        each.channel,
        each.pilot,
        flags,
        each.lock,
        each.host_lost,
        each.phases,
        each.faults,
        each.latched,
        each.offered_ma,
        each.cable_max_ma,
    )


def _pack_welcome(message: m.Welcome) -> bytes:
    head = m.WELCOME.pack(
        message.major,
        message.minor,
        message.session,
        _fixed(message.board_type),
        _fixed(message.serial),
        _fixed(message.firmware),
        message.boot_counter,
        message.reset_reason,
        message.self_test,
        len(message.channels),
        m.WELCOME_CHANNEL.size,
    )
    return head + b"".join(
        m.WELCOME_CHANNEL.pack(each.channel, each.kind, each.phases, each.max_ma)
        for each in message.channels
    )


def _bit(value: bool, flag: int) -> int:
    return flag if value else 0


def _fixed(text: str) -> bytes:
    data = text.encode("ascii")
    if len(data) > 16:
        raise ValueError(f"{text!r} is longer than 16 bytes")
    return data
