"""Modbus requests answered from a register model (Modbus Application Protocol V1.1b3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol


class Space(Enum):
    """The four tables of a Modbus device."""

    COILS = "coils"
    DISCRETE = "discrete inputs"
    HOLDING = "holding registers"
    INPUT = "input registers"


class ModbusFault(Exception):  # noqa: N818 - the specification's own word is exception
    """The device answers with an exception code instead of data."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}")
        self.code = code


class NoAnswerError(Exception):
    """The device hears the request and says nothing (it sleeps)."""


ILLEGAL_FUNCTION = 1
ILLEGAL_ADDRESS = 2
ILLEGAL_VALUE = 3
DEVICE_FAILURE = 4
TARGET_SILENT = 0x0B


class RegisterModel(Protocol):
    """What a device shows. Bits are 0 or 1, registers 0 to 65535.

    Both methods raise ModbusFault, or NoAnswerError from a device that keeps silent.
    """

    def read(self, space: Space, address: int, count: int) -> Sequence[int]:
        """`count` values from `address` on."""

    def write(self, space: Space, address: int, values: Sequence[int]) -> None:
        """Take new values."""


_READS = {1: Space.COILS, 2: Space.DISCRETE, 3: Space.HOLDING, 4: Space.INPUT}
_MAX_READ = {1: 2000, 2: 2000, 3: 125, 4: 125}


def answer(model: RegisterModel, pdu: bytes) -> bytes:
    """The answering PDU, an exception PDU included, to any PDU of at least one byte.

    Raises NoAnswerError when the model does.
    """
    function = pdu[0]
    try:
        return _HANDLERS.get(function, _refuse)(model, pdu)
    except ModbusFault as fault:
        return bytes([function | 0x80, fault.code])


def _refuse(model: RegisterModel, pdu: bytes) -> bytes:  # noqa: ARG001 - a handler's signature
    raise ModbusFault(ILLEGAL_FUNCTION)


def _read(model: RegisterModel, pdu: bytes) -> bytes:
    function = pdu[0]
    address, count = _two_words(pdu)
    if not 1 <= count <= _MAX_READ[function]:
        raise ModbusFault(ILLEGAL_VALUE)
    if address + count > 0x10000:
        raise ModbusFault(ILLEGAL_ADDRESS)
    values = model.read(_READS[function], address, count)
    data = _pack_bits(values) if function <= 2 else _pack_words(values)
    return bytes([function, len(data)]) + data


def _write_coil(model: RegisterModel, pdu: bytes) -> bytes:
    address, value = _two_words(pdu)
    if value not in (0x0000, 0xFF00):
        raise ModbusFault(ILLEGAL_VALUE)
    model.write(Space.COILS, address, [int(value == 0xFF00)])
    return pdu[:5]


def _write_register(model: RegisterModel, pdu: bytes) -> bytes:
    address, value = _two_words(pdu)
    model.write(Space.HOLDING, address, [value])
    return pdu[:5]


def _write_coils(model: RegisterModel, pdu: bytes) -> bytes:
    address, count = _two_words(pdu)
    data = _checked_block(pdu, count, 1968, (count + 7) // 8)
    model.write(Space.COILS, address, [data[i // 8] >> (i % 8) & 1 for i in range(count)])
    return pdu[:5]


def _write_registers(model: RegisterModel, pdu: bytes) -> bytes:
    address, count = _two_words(pdu)
    data = _checked_block(pdu, count, 123, count * 2)
    values = [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]
    model.write(Space.HOLDING, address, values)
    return pdu[:5]


_HANDLERS: dict[int, Callable[[RegisterModel, bytes], bytes]] = {
    1: _read,
    2: _read,
    3: _read,
    4: _read,
    5: _write_coil,
    6: _write_register,
    15: _write_coils,
    16: _write_registers,
}


def _two_words(pdu: bytes) -> tuple[int, int]:
    if len(pdu) < 5:
        raise ModbusFault(ILLEGAL_VALUE)
    return int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")


def _checked_block(pdu: bytes, count: int, most: int, size: int) -> bytes:
    if not 1 <= count <= most or len(pdu) != 6 + size or pdu[5] != size:
        raise ModbusFault(ILLEGAL_VALUE)
    return pdu[6:]


def _pack_bits(values: Sequence[int]) -> bytes:
    packed = bytearray((len(values) + 7) // 8)
    for i, value in enumerate(values):
        packed[i // 8] |= (value & 1) << (i % 8)
    return bytes(packed)


def _pack_words(values: Sequence[int]) -> bytes:
    return b"".join((value & 0xFFFF).to_bytes(2, "big") for value in values)
