"""Decoding: exact integers, rounded to nearest; sentinels and the absurd are absent."""

from __future__ import annotations

import math
import struct
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baywatt_contract.observations import Quantity
from baywatt_edge.devices.blocks import Block, compile_blocks
from baywatt_edge.devices.decode import decode_block, encode, raw_current, raw_value
from baywatt_edge.devices.profile import Modbus
from baywatt_edge.devices.register import WORDS, Register, RegisterType


def register(**kind: object) -> Register:
    return Register.model_validate({"name": "r", "address": 0, "function": 4} | kind)


def decoded(reg: Register, words: tuple[int, ...]) -> int | None:
    block = Block(reg.function, reg.address, reg.width, (reg,))
    out = decode_block(block, words)
    assert (reg.quantity in out.values) != bool(out.invalid)
    return out.values.get(reg.quantity)


def float_words(value: float) -> tuple[int, ...]:
    return struct.unpack(">2H", struct.pack(">f", value))


ENERGY = register(type="float32", unit="kWh", quantity="energy_import_wh")


@settings(deadline=None)
@given(st.integers(0, 8_191_999))
def test_a_float_of_kwh_holds_every_watt_hour_below_8192_kwh(energy_wh: int) -> None:
    assert decoded(ENERGY, float_words(energy_wh / 1000)) == energy_wh


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0, 3e38])
def test_nan_infinity_and_the_absurd_are_invalid(value: float) -> None:
    assert decoded(ENERGY, float_words(value)) is None


def test_an_absent_value_of_an_optional_register_does_not_spoil_the_reading() -> None:
    reg = register(type="float32", unit="Hz", quantity="frequency_mhz", optional=True)
    out = decode_block(Block(4, 0, 2, (reg,)), float_words(math.nan))
    assert out.values == {}
    assert out.invalid == ()


@pytest.mark.parametrize(
    ("kind", "words", "value"),
    [
        ({"type": "int16", "scale": Decimal("0.1"), "unit": "C"}, (0xFF85,), -12_300),
        ({"type": "int32", "word_order": "little", "unit": "C"}, (0xFFFF, 0xFFFF), -1000),
        ({"type": "uint32", "scale": Decimal("0.01"), "unit": "C"}, (1, 0), 655_360),
        ({"type": "uint16", "mask": 0xFF00, "shift": 8, "unit": "C"}, (0x4142,), 65_000),
        ({"type": "uint16", "sentinels": [0xFFFF], "unit": "C"}, (0xFFFF,), None),
        ({"type": "uint16", "maximum": 50, "unit": "C"}, (51,), None),
        ({"type": "int16", "minimum": -10, "unit": "C"}, (0xFFF5,), None),
    ],
)
def test_types_orders_masks_sentinels_and_ranges(
    kind: dict[str, object], words: tuple[int, ...], value: int | None
) -> None:
    assert decoded(register(quantity="temperature_mc", **kind), words) == value


def test_a_string_is_stripped_of_padding() -> None:
    reg = register(type="string", words=3)
    assert raw_value(reg, (0x4232, 0x3320, 0x0000)) == "B23"


def test_a_bit_is_a_bit() -> None:
    assert raw_value(register(type="bit", function=1), (1,)) == 1


NUMERIC = [t for t in RegisterType if t not in (RegisterType.STRING, RegisterType.BIT)]


@settings(deadline=None)
@given(
    st.sampled_from(NUMERIC),
    st.sampled_from(["big", "little"]),
    st.lists(st.integers(0, 0xFFFF), min_size=0, max_size=5),
)
def test_no_answer_of_any_shape_raises(kind: RegisterType, order: str, words: list[int]) -> None:
    reg = register(type=kind, word_order=order, unit="W", quantity="power_w")
    decode_block(Block(4, 0, reg.width, (reg,)), tuple(words))


@settings(deadline=None)
@given(st.sampled_from(NUMERIC), st.sampled_from(["big", "little"]), st.integers(0, 32_767))
def test_what_is_encoded_is_decoded_again(kind: RegisterType, order: str, raw: int) -> None:
    reg = register(type=kind, word_order=order)
    assert raw_value(reg, encode(reg, raw)) == raw


def test_a_value_that_does_not_fit_is_not_encoded() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        encode(register(type="uint16"), 65_536)


@settings(deadline=None)
@given(st.integers(0, 32_000), st.sampled_from(["0.1", "1", "0.01", "0.003"]))
def test_a_limit_is_never_rounded_up(limit_ma: int, scale: str) -> None:
    reg = register(type="uint16", scale=Decimal(scale), unit="A")
    raw = raw_current(reg, limit_ma)
    step_ma = Decimal(scale) * 1000
    assert raw * step_ma <= limit_ma < (raw + 1) * step_ma


@st.composite
def layouts(draw: st.DrawFn) -> tuple[list[Register], Modbus]:
    spec = draw(
        st.lists(
            st.tuples(st.integers(0, 300), st.sampled_from(NUMERIC), st.sampled_from([3, 4])),
            min_size=1,
            max_size=25,
        )
    )
    registers = [
        register(address=a, type=t, function=f).model_copy(update={"name": f"r{i}"})
        for i, (a, t, f) in enumerate(spec)
    ]
    covered = {x for r in registers for x in range(r.address, r.address + r.width)}
    poison = [(p, p) for p in draw(st.lists(st.integers(0, 310), max_size=4)) if p not in covered]
    modbus = Modbus(
        max_registers=draw(st.integers(4, 125)),
        max_gap=draw(st.integers(0, 124)),
        poisonous=poison,
    )
    return registers, modbus


@settings(deadline=None)
@given(layouts())
def test_blocks_cover_every_register_within_all_limits(
    layout: tuple[list[Register], Modbus],
) -> None:
    registers, modbus = layout
    blocks = compile_blocks(registers, modbus)
    assert sorted(r.name for b in blocks for r in b.registers) == sorted(r.name for r in registers)
    for block in blocks:
        assert block.count <= modbus.max_registers
        addresses = range(block.address, block.address + block.count)
        assert not any(low in addresses for low, _ in modbus.poisonous)
        for each in block.registers:
            assert each.function == block.function
            assert each.address in addresses
            assert each.address + WORDS[each.type] - 1 in addresses


def test_a_reading_keeps_the_words_of_each_register() -> None:
    registers = [
        register(type="uint16", unit="V", quantity="voltage_l1_mv", address=10),
        register(type="uint16", unit="V", quantity="voltage_l2_mv", address=12),
    ]
    (block,) = compile_blocks(registers, Modbus(max_gap=1))
    values = decode_block(block, (230, 0, 231)).values
    assert values == {Quantity.VOLTAGE_L1_MV: 230_000, Quantity.VOLTAGE_L2_MV: 231_000}
