"""The checksum of Modbus RTU frames."""

from __future__ import annotations


def crc16(data: bytes) -> int:
    """CRC-16/MODBUS (polynomial 0xA001 reflected, initial 0xFFFF)."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


def _table() -> list[int]:
    rows = []
    for value in range(256):
        crc = value
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
        rows.append(crc)
    return rows


_TABLE = _table()


def seal(body: bytes) -> bytes:
    """The body (unit and PDU) with its checksum, low byte first."""
    return body + crc16(body).to_bytes(2, "little")
