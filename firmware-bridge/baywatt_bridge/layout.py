"""Fixed little-endian layouts, declared so that the specification can be checked against them."""

from __future__ import annotations

import struct
from typing import Any

from baywatt_bridge.errors import BadMessageError

_CODES = {"u8": "B", "u16": "H", "u32": "I"}


class Layout:
    """Named fields one after the other, without padding. `reserved` is sent as 0, never read."""

    def __init__(self, *fields: str) -> None:
        """Each field as "name:type", the type u8, u16, u32 or bytesN."""
        self.fields = tuple((name, kind) for name, _, kind in (f.partition(":") for f in fields))
        self._struct = struct.Struct("<" + "".join(_code(*field) for field in self.fields))
        self.size = self._struct.size

    def pack(self, *values: Any) -> bytes:  # noqa: ANN401 - what struct takes
        """The bytes of all fields but the reserved ones; raises ValueError out of range."""
        try:
            return self._struct.pack(*values)
        except struct.error as error:
            raise ValueError(f"does not fit the message: {error}") from error

    def unpack(self, data: bytes, at: int = 0) -> tuple[Any, ...]:
        """The fields from offset `at`; raises BadMessageError when bytes are missing."""
        if len(data) - at < self.size:
            raise BadMessageError(f"{len(data) - at} bytes, at least {self.size} needed")
        return self._struct.unpack_from(data, at)

    def offsets(self) -> list[tuple[int, str, str]]:
        """(offset, type, name) of every field, as the specification's tables show them."""
        out, at = [], 0
        for name, kind in self.fields:
            out.append((at, kind, name))
            at += struct.calcsize("<" + _code(name, kind))
        return out


def _code(name: str, kind: str) -> str:
    if kind.startswith("bytes"):
        return f"{kind.removeprefix('bytes')}s"
    size = struct.calcsize("<" + _CODES[kind])
    return f"{size}x" if name == "reserved" else _CODES[kind]
