"""The profile format: a device described as data, every register with its source.

A profile is one TOML file. Quantities stay integers: `scale` is exact (decimal), and `unit` says
what `raw * scale` is; decoding converts it to the unit in the quantity's name.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from baywatt_contract.observations import FaultCode, Pilot, Quantity

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
Address = Annotated[int, Field(ge=0, le=0xFFFF)]
Word = Annotated[int, Field(ge=0, le=0xFFFF)]
Text = Annotated[str, StringConstraints(max_length=300)]
Scale = Annotated[Decimal, Field(ge=-(10**9), le=10**9)]
Milliamperes = Annotated[int, Field(ge=0, le=1_000_000)]


class Table(BaseModel):
    """Base of all tables: an unknown key is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Kind(StrEnum):
    """Which driver a profile feeds."""

    METER = "meter"
    WALLBOX = "wallbox"
    BAY_SENSOR = "bay-sensor"
    DC_MODULE = "dc-module"
    BOARD = "board"


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

_WH, _W, _MA = Fraction(1), Fraction(1), Fraction(1)
_UNITS: dict[str, dict[str, Fraction]] = {
    "wh": {"Wh": _WH, "kWh": _WH * 1000, "MWh": _WH * 1_000_000},
    "w": {"W": _W, "kW": _W * 1000},
    "ma": {"mA": _MA, "A": _MA * 1000},
    "mv": {"mV": Fraction(1), "V": Fraction(1000)},
    "mhz": {"mHz": Fraction(1), "Hz": Fraction(1000)},
    "mc": {"mC": Fraction(1), "C": Fraction(1000)},
    "mm": {"mm": Fraction(1), "cm": Fraction(10), "m": Fraction(1000)},
}


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
    sentinels: Annotated[list[int], Field(max_length=16)] = []  # raw values that mean "absent"
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

    @property
    def factor(self) -> Fraction:
        """Multiplies a raw value into the unit of the quantity (or leaves it in `unit`)."""
        scale = Fraction(self.scale)
        return scale if self.quantity is None else scale * self._to_quantity(self.quantity)

    def factor_to(self, suffix: str) -> Fraction:
        """Multiplies a raw value into the base unit `suffix` ("ma", "mm" …); raises KeyError."""
        return Fraction(self.scale) * _UNITS[suffix][self.unit]

    def _to_quantity(self, quantity: Quantity) -> Fraction:
        return _UNITS[quantity.value.rsplit("_", 1)[1]][self.unit]

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
            known = _UNITS[self.quantity.value.rsplit("_", 1)[1]]
            if self.unit not in known:
                listed = ", ".join(known)
                raise ValueError(f"unit {self.unit!r} does not fit {self.quantity} ({listed})")
        return self


class Modbus(Table):
    """How the device wants to be asked."""

    timeout_ms: Annotated[int, Field(ge=10, le=10_000)] = 300
    interval_ms: Annotated[int, Field(ge=0, le=3_600_000)] = 1000
    min_gap_ms: Annotated[int, Field(ge=0, le=10_000)] = 0  # after any exchange with it
    max_registers: Annotated[int, Field(ge=1, le=125)] = 64
    max_gap: Annotated[int, Field(ge=0, le=124)] = 8  # unneeded registers a block may read across
    poisonous: Annotated[list[tuple[Address, Address]], Field(max_length=32)] = []  # inclusive
    wake_up_reads: Annotated[int, Field(ge=0, le=3)] = 0  # a sleeper misses so many requests
    baudrate: Annotated[int, Field(ge=300, le=4_000_000)] = 9600  # factory settings, for a scan
    parity: Literal["N", "E", "O"] = "N"
    stopbits: Literal[1, 2] = 1
    unit: Annotated[int, Field(ge=0, le=255)] = 1


class Identity(Table):
    """What a scan reads to recognise the model: one register and the raw values it may hold."""

    name: Name
    one_of: Annotated[list[int], Field(max_length=32)] = []
    low: int | None = None
    high: int | None = None


class StateMeaning(Table):
    """A value of the state register."""

    pilot: Pilot
    offers: bool = False  # the pilot carries the limit (PWM on)
    closed: bool = False  # the contactor is closed, or may be
    fault: FaultCode | None = None


class Watchdog(Table):
    """What the device does when its host falls silent, and what counts as a sign of life."""

    time: Name
    time_ms: Annotated[int, Field(ge=100, le=3_600_000)]
    fail_safe: Name
    feed: Literal["any-request", "limit-write", "register"]
    feed_register: Name | None = None
    feed_value: Word = 1


class Setup(Table):
    """A raw value that a register must hold before the device is usable."""

    name: Name
    value: Word


class Wallbox(Table):
    """The registers of a complete charge controller."""

    state: Name
    limit: Name
    limit_minimum_ma: Milliamperes = 6000
    limit_maximum_ma: Milliamperes
    enable: Name | None = None
    enable_on: Word = 1
    enable_off: Word = 0
    watchdog: Watchdog | None = None
    setup: Annotated[list[Setup], Field(max_length=16)] = []
    states: Annotated[dict[str, StateMeaning], Field(min_length=1, max_length=64)]


class BaySensing(Table):
    """When a distance means a car; between the two thresholds the state stays as it was."""

    occupied_below_mm: Annotated[int, Field(ge=1, le=50_000)]
    vacant_above_mm: Annotated[int, Field(ge=1, le=50_000)]
    debounce_ms: Annotated[int, Field(ge=0, le=60_000)] = 1500
    stale_ms: Annotated[int, Field(ge=1000, le=600_000)] = 10_000

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.vacant_above_mm < self.occupied_below_mm:
            raise ValueError("vacant_above_mm lies below occupied_below_mm")
        return self


class Can(Table):
    """How a CAN device is addressed and how long it lives without us."""

    protocol: Literal["infypower-1.13"]
    bitrate: Annotated[int, Field(ge=10_000, le=1_000_000)] = 125_000
    controller: Annotated[int, Field(ge=0, le=0xFF)] = 0xF0
    interval_ms: Annotated[int, Field(ge=50, le=10_000)] = 500
    watchdog_ms: Annotated[int, Field(ge=100, le=600_000)] = 10_000


class Profile(Table):
    """One kind of device; `id` is what a site file's `profile` names."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{0,47}$")]
    kind: Kind
    vendor: Text
    model: Text
    source: Annotated[list[Text], Field(min_length=1, max_length=16)]
    notes: Annotated[list[Text], Field(max_length=32)] = []
    modbus: Modbus | None = None
    registers: Annotated[list[Register], Field(max_length=500)] = []
    identity: Identity | None = None
    wallbox: Wallbox | None = None
    bay: BaySensing | None = None
    can: Can | None = None

    def register(self, name: str) -> Register:
        """The register of that name; raises KeyError."""
        return {register.name: register for register in self.registers}[name]

    @property
    def polled(self) -> list[Register]:
        """Registers that every routine poll reads."""
        state = self.wallbox.state if self.wallbox else None
        return [each for each in self.registers if each.quantity or each.name == state]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for section in _NEEDED[self.kind]:
            if getattr(self, section) in (None, []):
                raise ValueError(f"a {self.kind} needs [{section}]")
        names = [register.name for register in self.registers]
        if len(names) != len(set(names)):
            raise ValueError("a register name stands twice")
        for name in self._references():
            if name not in names:
                raise ValueError(f"no register is named {name!r}")
        self._within_limits()
        self._current_registers()
        return self

    def _references(self) -> list[str]:
        out = [self.identity.name] if self.identity else []
        if box := self.wallbox:
            out += [box.state, box.limit, *(each.name for each in box.setup)]
            out += [box.enable] if box.enable else []
            if dog := box.watchdog:
                out += [dog.time, dog.fail_safe]
                out += [dog.feed_register] if dog.feed_register else []
        return out

    def _within_limits(self) -> None:
        limit = self.modbus.max_registers if self.modbus else 125
        for each in self.registers:
            if each.width > limit:
                raise ValueError(f"register {each.name} is wider than max_registers")
            for first, last in self.modbus.poisonous if self.modbus else []:
                if each.address <= last and first < each.address + each.width:
                    raise ValueError(f"register {each.name} is poisonous")

    def _current_registers(self) -> None:
        if not (box := self.wallbox):
            return
        written = [box.limit, *(each.name for each in box.setup)]
        currents = [box.limit]
        if dog := box.watchdog:
            written += [dog.time, dog.fail_safe]
            currents.append(dog.fail_safe)
            if dog.feed == "register" and dog.feed_register is None:
                raise ValueError("watchdog feed `register` needs feed_register")
        for name in written + ([box.enable] if box.enable else []):
            if self.register(name).write_function is None:
                raise ValueError(f"register {name} is written but has no write_function")
        for name in currents:
            if self.register(name).unit not in _UNITS["ma"]:
                raise ValueError(f"register {name} is a current: unit A or mA")


_NEEDED: dict[Kind, tuple[str, ...]] = {
    Kind.METER: ("modbus", "registers"),
    Kind.WALLBOX: ("modbus", "registers", "wallbox"),
    Kind.BAY_SENSOR: ("modbus", "registers", "bay"),
    Kind.DC_MODULE: ("can",),
    Kind.BOARD: (),
}
