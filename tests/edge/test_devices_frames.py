"""Modbus framing: golden frames, and answers found in whatever a line delivers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baywatt_edge.devices.errors import ExchangeError, RefusedError
from baywatt_edge.devices.modbus_frames import (
    Request,
    RtuReceiver,
    TcpReceiver,
    crc16,
    parse_answer,
    rtu_frame,
    second_answer,
    tcp_frame,
    with_crc,
)

READ = Request(unit=5, function=4, address=0, count=2)
ANSWER = bytes.fromhex("0504044366436 6fac5".replace(" ", ""))  # 230.26 V, seen on a real line


def found(request: Request, stream: bytes, chunk: int = 1) -> bytes | None:
    receiver = RtuReceiver(request)
    for start in range(0, len(stream), chunk):
        if (pdu := receiver.feed(stream[start : start + chunk])) is not None:
            return pdu
    return None


@pytest.mark.parametrize(
    ("request_", "frame"),
    [
        (Request(0x50, 3, 0x34, 1), "500300340001c845"),  # DFRobot SEN0492 manual
        (Request(0x11, 3, 0x6B, 3), "1103006b00037687"),  # Modbus application protocol 6.3
        (Request(0x11, 5, 0xAC, values=(1,)), "110500acff004e8b"),
        (Request(0x11, 6, 0x01, values=(3,)), "1106000100039a9b"),
        (Request(0x11, 16, 0x01, 2, (0x0A, 0x0102)), "11100001000204000a0102c6f0"),
        (Request(0x11, 15, 0x13, 10, (1, 0, 1, 1, 0, 0, 1, 1, 1, 0)), "110f0013000a02cd01bf0b"),
    ],
)
def test_golden_requests(request_: Request, frame: str) -> None:
    assert rtu_frame(request_).hex() == frame


def test_golden_answers() -> None:
    assert parse_answer(READ, found(READ, ANSWER) or b"") == (0x4366, 0x4366)
    distance = Request(0x50, 3, 0x34, 1)
    assert parse_answer(distance, found(distance, bytes.fromhex("500302070b067f")) or b"") == (
        1803,
    )
    bits = Request(1, 1, 19, 10)
    assert parse_answer(bits, bytes.fromhex("0102cd01")) == (1, 0, 1, 1, 0, 0, 1, 1, 1, 0)


@given(st.binary(max_size=40), st.integers(1, 9))
def test_an_answer_is_found_behind_any_garbage(garbage: bytes, chunk: int) -> None:
    pdu = found(READ, garbage + ANSWER, chunk)
    assert pdu is not None
    # Garbage that is itself an intact answer cannot be told from one.
    assert pdu == ANSWER[1:-2] or RtuReceiver(READ).feed(garbage) == pdu


@settings(max_examples=300)
@given(st.integers(0, len(ANSWER) * 8 - 1))
def test_no_single_bit_error_passes(bit: int) -> None:
    damaged = bytearray(ANSWER)
    damaged[bit // 8] ^= 1 << bit % 8
    assert found(READ, bytes(damaged)) is None


@given(st.binary(max_size=3000))
def test_any_stream_is_bounded_and_never_raises(stream: bytes) -> None:
    receiver = RtuReceiver(READ)
    for start in range(0, len(stream), 300):
        if receiver.feed(stream[start : start + 300]) is not None:
            return
    assert len(receiver.rest) <= 256
    assert receiver.damaged == len(stream)


@pytest.mark.parametrize(
    "other",
    [
        with_crc(bytes.fromhex("06040443664366")),  # another unit
        with_crc(bytes.fromhex("05030443664366")),  # another function
        with_crc(bytes.fromhex("0504024366")),  # another length
        with_crc(bytes.fromhex("0683 02".replace(" ", ""))),  # another unit's exception
        rtu_frame(READ),  # the echo of our own request
    ],
)
def test_a_foreign_frame_is_no_answer_and_hides_none(other: bytes) -> None:
    assert found(READ, other) is None
    assert found(READ, other + ANSWER) == ANSWER[1:-2]


def test_a_write_must_be_echoed_exactly() -> None:
    write = Request(1, 16, 261, 1, (160,))
    good = with_crc(bytes.fromhex("011001050001"))
    assert parse_answer(write, found(write, good) or b"") == ()
    assert found(write, with_crc(bytes.fromhex("011001060001"))) is None
    assert found(write, rtu_frame(write)) is None


def test_an_exception_is_a_refusal_with_its_meaning() -> None:
    pdu = found(READ, with_crc(bytes.fromhex("058402")))
    with pytest.raises(RefusedError, match="exception 2 \\(illegal data address\\)"):
        parse_answer(READ, pdu or b"")


def test_a_second_answer_is_seen() -> None:
    other = with_crc(bytes.fromhex("05040443704370"))
    receiver = RtuReceiver(READ)
    assert receiver.feed(ANSWER + other) == ANSWER[1:-2]
    assert second_answer(READ, receiver.rest)
    assert not second_answer(READ, b"\x00\x01\x02")


@given(st.binary(max_size=64))
def test_any_pdu_is_words_or_an_exchange_error(pdu: bytes) -> None:
    try:
        assert len(parse_answer(READ, pdu)) == 2
    except ExchangeError:
        return


@given(
    st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 255)), max_size=5),
    st.integers(1, 20),
)
def test_tcp_frames_are_cut_at_any_chunk(ids: list[tuple[int, int]], chunk: int) -> None:
    requests = [(t, Request(u, 3, 7, 2)) for t, u in ids]
    stream = b"".join(tcp_frame(request, t) for t, request in requests)
    receiver, frames = TcpReceiver(), []
    for start in range(0, len(stream), chunk):
        frames += receiver.feed(stream[start : start + chunk])
    assert frames == [(t, request.unit, request.pdu()) for t, request in requests]


@given(st.binary(max_size=600))
def test_any_tcp_stream_is_frames_or_an_error(stream: bytes) -> None:
    try:
        TcpReceiver().feed(stream)
    except ExchangeError:
        return


def test_the_crc_of_the_specification() -> None:
    assert crc16(b"\x02\x07") == 0x1241  # serial line 1.02, appendix B
