"""Words of the wire to integers in the quantity's unit, and back for what is written."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from baywatt_contract.observations import Quantity
from baywatt_edge.devices.blocks import Block
from baywatt_edge.devices.register import Register, RegisterType, suffix_of

_SIGNED = {RegisterType.INT16, RegisterType.INT32, RegisterType.INT64}

# Beyond these no site of ours can be: such a value is a wiring or decoding fault, not a reading.
_PLAUSIBLE: dict[str, tuple[int, int]] = {
    "wh": (0, 10**13),
    "w": (-(10**9), 10**9),
    "ma": (-(10**7), 10**7),
    "mv": (-2_000_000, 2_000_000),
    "mhz": (0, 500_000),
    "mc": (-273_150, 1_000_000),
    "mm": (0, 100_000),
}


@dataclass(frozen=True, slots=True)
class Decoded:
    """What one answer holds: values by quantity, raw values by name, names of unusable ones."""

    values: dict[Quantity, int]
    raw: dict[str, int | float | str]
    invalid: tuple[str, ...] = ()


def decode_block(block: Block, words: Sequence[int]) -> Decoded:
    """Decode every register of a block; sentinels, NaN and the absurd are absent."""
    values: dict[Quantity, int] = {}
    raws: dict[str, int | float | str] = {}
    invalid: list[str] = []
    for register in block.registers:
        raw = raw_value(register, block.words_of(register, words))
        value = None if raw is None else quantity_value(register, raw)
        if raw is not None:
            raws[register.name] = raw
        if register.quantity is None:
            continue
        if value is not None:
            values[register.quantity] = value
        elif not register.optional:
            invalid.append(register.name)
    return Decoded(values, raws, tuple(invalid))


def raw_value(register: Register, words: Sequence[int]) -> int | float | str | None:
    """The unscaled value; None for a sentinel, NaN or infinity, or missing words."""
    if len(words) != register.width:
        return None
    if register.type is RegisterType.BIT:
        return words[0] & 1
    ordered = words if register.word_order == "big" else list(reversed(words))
    data = struct.pack(f">{len(words)}H", *(word & 0xFFFF for word in ordered))
    if register.type is RegisterType.STRING:
        return data.decode("ascii", "replace").strip("\0 ")
    if register.type in (RegisterType.FLOAT32, RegisterType.FLOAT64):
        return _float(register, data)
    raw = int.from_bytes(data, "big", signed=register.type in _SIGNED)
    if raw in register.sentinels:
        return None
    return raw if register.mask is None else (raw & register.mask) >> register.shift


def _float(register: Register, data: bytes) -> float | None:
    value: float = struct.unpack(">f" if len(data) == 4 else ">d", data)[0]
    return value if math.isfinite(value) and value not in register.sentinels else None


def quantity_value(register: Register, raw: float | str) -> int | None:
    """`raw` as an integer in the quantity's unit, rounded to nearest; None when implausible."""
    if isinstance(raw, str) or register.quantity is None:
        return None
    if not _within(register, raw):
        return None
    suffix = suffix_of(register.quantity)
    value = _scaled(raw, register.factor_to(suffix))
    low, high = _PLAUSIBLE[suffix]
    return value if low <= value <= high else None


def _scaled(raw: float, factor: Fraction) -> int:
    """`round(Fraction(raw) * factor)`, without the fraction: half goes to even."""
    above, below = raw.as_integer_ratio()
    below *= factor.denominator
    whole, rest = divmod(above * factor.numerator, below)
    if 2 * rest > below or (2 * rest == below and whole & 1):
        whole += 1
    return whole


def _within(register: Register, raw: float) -> bool:
    if register.minimum is None and register.maximum is None:
        return True
    scaled = Fraction(raw) * Fraction(register.scale)
    if register.minimum is not None and scaled < Fraction(register.minimum):
        return False
    return register.maximum is None or scaled <= Fraction(register.maximum)


def current_ma(register: Register, raw: float) -> int:
    """A current register's raw value in mA, rounded to nearest."""
    return _scaled(raw, register.factor_to("ma"))


def raw_current(register: Register, limit_ma: int) -> int:
    """The largest raw value that is not above `limit_ma`: a limit is never rounded up."""
    return math.floor(limit_ma / register.factor_to("ma"))


def encode(register: Register, raw: int) -> tuple[int, ...]:
    """The words to write for a raw value; raises ValueError when it does not fit the register."""
    if register.type is RegisterType.BIT:
        return (1 if raw else 0,)
    try:
        if register.type in (RegisterType.FLOAT32, RegisterType.FLOAT64):
            data = struct.pack(">f" if register.width == 2 else ">d", raw)
        else:
            data = raw.to_bytes(register.width * 2, "big", signed=register.type in _SIGNED)
    except (OverflowError, struct.error) as error:
        raise ValueError(f"{raw} does not fit register {register.name}") from error
    words = struct.unpack(f">{register.width}H", data)
    return words if register.word_order == "big" else tuple(reversed(words))
