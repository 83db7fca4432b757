"""The profile format: a device described as data, every register with its source.

A profile is one TOML file. Quantities stay integers: `scale` is exact (decimal), and `unit` says
what `raw * scale` is; decoding converts it to the unit in the quantity's name.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from baywatt_contract.observations import FaultCode, Pilot
from baywatt_edge.devices.register import UNITS, Address, Name, Register, Table, Text

Word = Annotated[int, Field(ge=0, le=0xFFFF)]
Milliamperes = Annotated[int, Field(ge=0, le=1_000_000)]


class Kind(StrEnum):
    """Which driver a profile feeds."""

    METER = "meter"
    WALLBOX = "wallbox"
    BAY_SENSOR = "bay-sensor"
    DC_MODULE = "dc-module"
    BOARD = "board"


class Modbus(Table):
    """How the device wants to be asked."""

    timeout_ms: Annotated[int, Field(ge=10, le=10_000)] = 300
    interval_ms: Annotated[int, Field(ge=0, le=3_600_000)] = 1000
    min_gap_ms: Annotated[int, Field(ge=0, le=10_000)] = 0  # after any exchange with it
    max_registers: Annotated[int, Field(ge=1, le=125)] = 64
    max_gap: Annotated[int, Field(ge=0, le=124)] = 8  # unneeded registers a block may read across
    poisonous: Annotated[
        tuple[tuple[Address, Address], ...], Field(max_length=32)
    ] = ()  # inclusive
    wake_up_reads: Annotated[int, Field(ge=0, le=3)] = 0  # a sleeper misses so many requests
    baudrate: Annotated[int, Field(ge=300, le=4_000_000)] = 9600  # factory settings, for a scan
    parity: Literal["N", "E", "O"] = "N"
    stopbits: Literal[1, 2] = 1
    unit: Annotated[int, Field(ge=0, le=255)] = 1


class Identity(Table):
    """What a scan reads to recognise the model: one register and the raw values it may hold."""

    name: Name
    one_of: Annotated[tuple[int, ...], Field(max_length=32)] = ()
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
    setup: Annotated[tuple[Setup, ...], Field(max_length=16)] = ()
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
    source: Annotated[tuple[Text, ...], Field(min_length=1, max_length=16)]
    notes: Annotated[tuple[Text, ...], Field(max_length=32)] = ()
    modbus: Modbus | None = None
    registers: Annotated[tuple[Register, ...], Field(max_length=500)] = ()
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
            if getattr(self, section) in (None, ()):
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
            for first, last in self.modbus.poisonous if self.modbus else ():
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
            if self.register(name).unit not in UNITS["ma"]:
                raise ValueError(f"register {name} is a current: unit A or mA")


_NEEDED: dict[Kind, tuple[str, ...]] = {
    Kind.METER: ("modbus", "registers"),
    Kind.WALLBOX: ("modbus", "registers", "wallbox"),
    Kind.BAY_SENSOR: ("modbus", "registers", "bay"),
    Kind.DC_MODULE: ("can",),
    Kind.BOARD: (),
}
