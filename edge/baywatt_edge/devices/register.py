"""One register of a device as it stands on the wire, and how its raw value becomes a quantity."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from baywatt_contract.observations import Quantity

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
Address = Annotated[int, Field(ge=0, le=0xFFFF)]
Text = Annotated[str, StringConstraints(max_length=300)]
Scale = Annotated[Decimal, Field(ge=-(10**9), le=10**9)]


class Table(BaseModel):
    """Base of all tables: an unknown key is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RegisterType(StrEnum):
    """How the words of a register are read; `bit` is a coil or discrete input."""

    BIT = "bit"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    STRING = "string"


WORDS = {
    RegisterType.BIT: 1,
    RegisterType.INT16: 1,
    RegisterType.UINT16: 1,
    RegisterType.INT32: 2,
    RegisterType.UINT32: 2,
    RegisterType.INT64: 4,
    RegisterType.UINT64: 4,
    RegisterType.FLOAT32: 2,
    RegisterType.FLOAT64: 4,
}

_ONE, _K = Fraction(1), Fraction(1000)
UNITS: dict[str, dict[str, Fraction]] = {
    "wh": {"Wh": _ONE, "kWh": _K, "MWh": _K * _K},
    "w": {"W": _ONE, "kW": _K},
    "ma": {"mA": _ONE, "A": _K},
    "mv": {"mV": _ONE, "V": _K},
    "mhz": {"mHz": _ONE, "Hz": _K},
    "mc": {"mC": _ONE, "C": _K},
    "mm": {"mm": _ONE, "cm": Fraction(10), "m": _K},
}


@lru_cache(maxsize=4096)
def _factor(scale: Decimal, unit: str, suffix: str) -> Fraction:
    return Fraction(scale) * UNITS[suffix][unit]


@lru_cache(maxsize=256)
def suffix_of(quantity: Quantity) -> str:
    """The unit in a quantity's name: "energy_import_wh" is in "wh"."""
    return quantity.value.rsplit("_", 1)[1]


class Register(Table):
    """One register as it stands on the wire (zero-based address), and what it means."""

    name: Name
    address: Address
    function: Literal[1, 2, 3, 4] = 3
    type: RegisterType
    words: Annotated[int, Field(ge=1, le=125)] | None = None  # strings only
    word_order: Literal["big", "little"] = "big"
    mask: Annotated[int, Field(ge=1, le=0xFFFF_FFFF)] | None = None
    shift: Annotated[int, Field(ge=0, le=31)] = 0
    scale: Scale = Decimal(1)
    unit: Annotated[str, StringConstraints(max_length=12)] = ""
    quantity: Quantity | None = None
    sentinels: Annotated[
        tuple[int, ...], Field(max_length=16)
    ] = ()  # raw values that mean "absent"
    minimum: Scale | None = None  # plausible range, in `unit`
    maximum: Scale | None = None
    optional: bool = False  # an absent value does not spoil the reading
    write_function: Literal[5, 6, 15, 16] | None = None  # absent: read only
    readable: bool = True
    channel_offset: Annotated[int, Field(ge=0, le=0xFFFF)] = 0  # per further connector
    source: Text = ""
    verified: Text = ""

    @property
    def width(self) -> int:
        """Registers (or bits) that it occupies."""
        return self.words or WORDS.get(self.type, 1)

    def factor_to(self, suffix: str) -> Fraction:
        """Multiplies a raw value into the base unit `suffix` ("ma", "mm" …); raises KeyError."""
        return _factor(self.scale, self.unit, suffix)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.scale == 0:
            raise ValueError("scale is 0")
        if self.type is RegisterType.STRING and (self.words is None or self.quantity is not None):
            raise ValueError("a string needs `words` and has no quantity")
        if (self.type is RegisterType.BIT) != (self.function in (1, 2)):
            raise ValueError("functions 1 and 2 read type bit, and only they do")
        if self.address + self.width > 0x10000:
            raise ValueError("reaches past register 65535")
        if self.quantity is not None:
            known = UNITS[suffix_of(self.quantity)]
            if self.unit not in known:
                listed = ", ".join(known)
                raise ValueError(f"unit {self.unit!r} does not fit {self.quantity} ({listed})")
        return self
