"""Scaling by whole numbers says exactly what fractions say."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from baywatt_edge.devices.decode import _scaled
from baywatt_edge.devices.modbus_frames import Request, RtuReceiver, with_crc

RAWS = st.one_of(
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-1000, 1000).map(lambda number: number / 8),
)
FACTORS = st.fractions(min_value=-(10**9), max_value=10**9, max_denominator=10**6)
REQUEST = Request(11, 4, 0, 2)
ANSWER = bytes([4, 4, 1, 2, 3, 4])


@given(RAWS, FACTORS)
def test_scaling_rounds_half_to_even_like_a_fraction(raw: float, factor: Fraction) -> None:
    assert _scaled(raw, factor) == round(Fraction(raw) * factor)


@given(noise=st.binary(max_size=40), cut=st.integers(1, 9))
def test_an_rtu_answer_is_found_behind_any_noise_in_pieces_of_any_size(
    noise: bytes, cut: int
) -> None:
    stream = noise + with_crc(bytes([REQUEST.unit]) + ANSWER)
    receiver = RtuReceiver(REQUEST)
    found = [receiver.feed(stream[at : at + cut]) for at in range(0, len(stream), cut)]
    assert found[-1] == ANSWER
    assert receiver.damaged == len(noise)
