"""Messages there and back; nothing that arrives can do more than be refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baywatt_bridge import messages as m
from baywatt_bridge.decoding import decode
from baywatt_bridge.encoding import encode
from baywatt_bridge.errors import BadMessageError
from baywatt_bridge.framing import MAX_PAYLOAD_BYTES
from baywatt_bridge.vocabulary import (
    ChannelKind,
    Fault,
    HostLoss,
    Kind,
    Lock,
    Pilot,
    ResetReason,
    Result,
    SelfTest,
)

U8, U16, U32 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32))
TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=16)
PHASES = st.sampled_from([1, 3])
FAULTS = st.integers(0, 0x3FF).map(Fault)
BLOCK = st.builds(m.ParameterBlock, U32, U32, U32)


def several(entry: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(entry, max_size=m.MAX_CHANNELS).map(tuple)


REPORT = st.builds(
    m.ChannelReport,
    channel=U8,
    pilot=st.sampled_from(Pilot),
    contactor_closed=st.sampled_from([True, False, None]),
    lock=st.sampled_from(Lock),
    offered_ma=U32,
    host_lost=st.sampled_from(HostLoss),
    phases=U8,
    faults=FAULTS,
    latched=FAULTS,
    cable_max_ma=U32,
    power_enabled=st.booleans(),
)
INFO = st.builds(m.ChannelInfo, U8, st.sampled_from(ChannelKind), U8, U32)
ORDER = st.builds(m.ChannelControl, U8, st.booleans(), U32, PHASES, st.booleans(), U8)
MESSAGES = st.one_of(
    st.builds(m.Hello, U32, U8, U8),
    st.builds(
        m.Welcome, U32, U8, U8, TEXT, TEXT, TEXT, U32,
        st.sampled_from(ResetReason), st.sampled_from(SelfTest), several(INFO),
    ),
    st.builds(m.Control, U32, U16, several(ORDER)),
    st.builds(
        m.State, U32, U16, U16, U32, st.booleans(), st.sampled_from(ResetReason), several(REPORT)
    ),
    st.builds(m.CardRead, U32, U16, U8, st.binary(min_size=4, max_size=10), U16),
    st.builds(m.CardAck, U32, U16),
    st.builds(m.GetParameters, U32, U16),
    st.builds(m.SetParameters, U32, U16, BLOCK),
    st.builds(m.Parameters, U32, U16, st.sampled_from(Result), BLOCK),
    st.builds(m.ClearLatch, U32, U16, U8, FAULTS),
    st.builds(m.LatchAnswer, U32, U16, U8, st.sampled_from(Result), FAULTS),
)  # fmt: skip


@given(MESSAGES)
def test_every_message_goes_there_and_back_and_fits_a_frame(message: m.Message) -> None:
    payload = encode(message)
    assert len(payload) <= MAX_PAYLOAD_BYTES
    assert decode(payload) == message


@given(MESSAGES, st.binary(max_size=20))
def test_fields_appended_by_a_later_version_are_passed_over(
    message: m.Message, more: bytes
) -> None:
    assert decode(encode(message) + more) == message


@given(st.lists(REPORT, min_size=1, max_size=4), st.binary(min_size=1, max_size=9))
def test_longer_entries_of_a_later_version_are_stepped_over(
    reports: list[m.ChannelReport], more: bytes
) -> None:
    state = m.State(1, 2, 3, 4, False, ResetReason.POWER_ON, tuple(reports))
    payload = encode(state)
    head, size = 1 + m.STATE.size, m.STATE_CHANNEL.size
    longer = bytearray(payload[:head])
    longer[head - 1] = size + len(more)
    for at in range(head, len(payload), size):
        longer += payload[at : at + size] + more
    assert decode(bytes(longer)) == state


@given(MESSAGES, st.data())
def test_a_shortened_message_is_refused(message: m.Message, data: st.DataObject) -> None:
    payload = encode(message)
    with pytest.raises(BadMessageError):
        decode(payload[: data.draw(st.integers(0, len(payload) - 1))])


@given(st.sampled_from(Kind), st.binary(max_size=500))
def test_any_bytes_are_a_message_or_refused(kind: Kind, body: bytes) -> None:
    try:
        message = decode(bytes([kind]) + body)
    except BadMessageError:
        return
    assert message is not None
    assert decode(encode(message)) == message


def test_an_unknown_kind_is_passed_over() -> None:
    assert decode(b"\x7fwhatever") is None


def test_an_unknown_fault_bit_is_still_a_fault() -> None:
    report = m.ChannelReport(1, Pilot.A, False, Lock.NONE, 0)
    payload = bytearray(encode(m.State(1, 1, 1, 1, False, ResetReason.UPDATE, (report,))))
    payload[1 + m.STATE.size + 7] = 0x80
    state = decode(bytes(payload))
    assert isinstance(state, m.State)
    assert state.channels[0].faults == Fault.CONTROLLER


@pytest.mark.parametrize("serial", ["\x1b[2J", "ä", "a\nb"])
def test_control_characters_never_reach_a_terminal(serial: str) -> None:
    good = encode(
        m.Welcome(1, 1, 0, "T", "S" * len(serial.encode()), "F", 1, ResetReason.UNKNOWN,
                  SelfTest.PASSED, ())
    )  # fmt: skip
    with pytest.raises(BadMessageError, match="printable"):
        decode(good.replace(b"S" * len(serial.encode()), serial.encode()))


@pytest.mark.parametrize("length", [0, 3, 11, 255])
def test_a_uid_of_an_impossible_length_is_refused(length: int) -> None:
    payload = bytearray(encode(m.CardRead(1, 1, 1, b"1234", 0)))
    payload[1 + 7] = length
    with pytest.raises(BadMessageError, match="UID"):
        decode(bytes(payload))


def test_what_does_not_fit_its_field_is_not_sent() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        encode(m.Control(1, 1, (m.ChannelControl(1, True, 2**32),)))
    with pytest.raises(ValueError, match="longer than 16"):
        encode(m.Welcome(1, 1, 0, "T" * 17, "", "", 1, ResetReason.UNKNOWN, SelfTest.PASSED, ()))
