"""COBS, CRC and the decoder on a bad line."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baywatt_bridge.errors import BadFrameError
from baywatt_bridge.framing import (
    MAX_PAYLOAD_BYTES,
    MAX_STUFFED_BYTES,
    FrameDecoder,
    cobs_decode,
    cobs_encode,
    decode_frame,
    encode_frame,
)

PAYLOADS = st.binary(min_size=1, max_size=MAX_PAYLOAD_BYTES)
RUNS = range(1, 255)
LONG_RUNS = st.lists(st.just(b"\x01" * 254) | st.binary(max_size=3), max_size=4).map(b"".join)

# From the paper and the table of examples that every implementation is measured by.
COBS_EXAMPLES = [
    (b"", b"\x01"),
    (b"\x00", b"\x01\x01"),
    (b"\x00\x00", b"\x01\x01\x01"),
    (b"\x00\x11\x00", b"\x01\x02\x11\x01"),
    (b"\x11\x22\x00\x33", b"\x03\x11\x22\x02\x33"),
    (b"\x11\x22\x33\x44", b"\x05\x11\x22\x33\x44"),
    (b"\x11\x00\x00\x00", b"\x02\x11\x01\x01\x01"),
    (bytes(RUNS), b"\xff" + bytes(RUNS)),
    (b"\x00" + bytes(RUNS), b"\x01\xff" + bytes(RUNS)),
    (bytes(range(1, 256)), b"\xff" + bytes(RUNS) + b"\x02\xff"),
    (bytes(range(2, 256)) + b"\x00", b"\xff" + bytes(range(2, 256)) + b"\x01\x01"),
    (bytes(range(3, 256)) + b"\x00\x01", b"\xfe" + bytes(range(3, 256)) + b"\x02\x01"),
]


@pytest.mark.parametrize(("plain", "stuffed"), COBS_EXAMPLES)
def test_cobs_examples(plain: bytes, stuffed: bytes) -> None:
    assert cobs_encode(plain) == stuffed
    assert cobs_decode(stuffed) == plain


@given(
    st.binary(max_size=1200)
    | st.lists(st.just(b"\x01" * 254) | st.binary(max_size=3)).map(b"".join)
)
def test_cobs_goes_there_and_back_without_zeros(data: bytes) -> None:
    stuffed = cobs_encode(data)
    assert 0 not in stuffed
    assert len(stuffed) <= len(data) + len(data) // 254 + 1
    assert cobs_decode(stuffed) == data


@given(st.binary(max_size=600))
def test_any_bytes_are_a_frame_or_a_bad_frame(data: bytes) -> None:
    try:
        payload = decode_frame(data)
    except BadFrameError:
        return
    assert encode_frame(payload).strip(b"\x00")


@given(st.lists(PAYLOADS, max_size=6), st.randoms(use_true_random=False))
def test_a_stream_may_be_cut_anywhere(payloads: list[bytes], rng: Random) -> None:
    stream = b"".join(encode_frame(payload) for payload in payloads)
    decoder = FrameDecoder()
    found = [payload for piece in cut(stream, rng) for payload in decoder.feed(piece)]
    assert found == payloads
    assert decoder.bad_frames == 0


@given(st.lists(PAYLOADS, min_size=1, max_size=4))
def test_one_byte_at_a_time(payloads: list[bytes]) -> None:
    decoder = FrameDecoder()
    stream = b"".join(encode_frame(payload) for payload in payloads)
    assert [p for byte in stream for p in decoder.feed(bytes([byte]))] == payloads


@given(st.binary(max_size=2000), PAYLOADS, st.randoms(use_true_random=False))
def test_the_frame_after_any_garbage_is_found(garbage: bytes, payload: bytes, rng: Random) -> None:
    decoder = FrameDecoder()
    found = [p for piece in cut(garbage + encode_frame(payload), rng) for p in decoder.feed(piece)]
    assert found[-1] == payload


@given(PAYLOADS, st.data())
def test_a_changed_byte_is_never_taken_for_the_frame(payload: bytes, data: st.DataObject) -> None:
    frame = bytearray(encode_frame(payload))
    at = data.draw(st.integers(1, len(frame) - 2))
    frame[at] ^= data.draw(st.integers(1, 255))
    decoder = FrameDecoder()
    assert decoder.feed(bytes(frame)) == []
    assert decoder.bad_frames >= 1


@given(PAYLOADS, PAYLOADS, st.data())
def test_lost_bytes_cost_their_own_frame_only(
    first: bytes, second: bytes, data: st.DataObject
) -> None:
    frame = encode_frame(first)
    at = data.draw(st.integers(1, len(frame) - 2))
    count = data.draw(st.integers(1, len(frame) - 1 - at))
    decoder = FrameDecoder()
    found = decoder.feed(frame[:at] + frame[at + count :] + encode_frame(second))
    assert found == [second]


def test_a_line_without_zeros_fills_no_memory() -> None:
    decoder = FrameDecoder()
    for _ in range(1000):
        assert decoder.feed(b"\x55" * 1000) == []
        assert len(decoder._partial) <= MAX_STUFFED_BYTES
    assert decoder.feed(encode_frame(b"after")) == [b"after"]
    assert decoder.bad_frames == 1


def test_the_longest_frame_fits_and_a_longer_does_not() -> None:
    longest = b"\x01" * MAX_PAYLOAD_BYTES
    assert len(encode_frame(longest)) == MAX_STUFFED_BYTES + 2
    assert FrameDecoder().feed(encode_frame(longest)) == [longest]
    with pytest.raises(ValueError, match="509 bytes"):
        encode_frame(b"\x01" * 509)
    with pytest.raises(ValueError, match="0 bytes"):
        encode_frame(b"")


def cut(data: bytes, rng: Random) -> Iterator[bytes]:
    while data:
        length = rng.randint(1, 40)
        yield data[:length]
        data = data[length:]
