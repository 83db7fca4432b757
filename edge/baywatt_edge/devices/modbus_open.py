"""Opening the line that a `[[buses]]` table describes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from baywatt_contract.site_file import Bus, BusKind
from baywatt_edge.devices.capture import FrameRing
from baywatt_edge.devices.errors import BusSetupError, LineLostError
from baywatt_edge.devices.modbus_line import ModbusLine, RtuLine, TcpLine, TcpTransport
from baywatt_edge.devices.serial_port import PortError, open_port

_CONNECT_S = 5.0
_FAST_GAP_S = 0.00175  # Modbus over serial line 1.02, section 2.5.1.1: fixed above 19,200 baud
MODBUS_KINDS = frozenset({BusKind.MODBUS_RTU, BusKind.MODBUS_TCP, BusKind.RTU_OVER_TCP})


def address_of(bus: Bus) -> str:
    """Where a bus is, for people."""
    return bus.port or f"tcp://{bus.host}:{bus.tcp_port}"


def character_s(bus: Bus) -> float:
    """The duration of one character on a serial bus."""
    bits = 9 + (bus.parity != "N") + bus.stopbits
    return bits / bus.baudrate


def gap_s(bus: Bus) -> float:
    """The silence before a request: 3.5 characters at least, more where the site file says so."""
    asked = (bus.gap_ms or 0) / 1000
    if bus.kind is not BusKind.MODBUS_RTU:
        return asked
    least = _FAST_GAP_S if bus.baudrate > 19_200 else 3.5 * character_s(bus)
    return max(asked, least)


async def open_line(bus: Bus, root: Path, ring: FrameRing) -> ModbusLine:
    """The open line; raises LineLostError naming what to check, BusSetupError for a wrong kind."""
    if bus.kind is BusKind.MODBUS_RTU:
        try:
            port = await open_port(root / (bus.port or ""), bus.baudrate, bus.parity, bus.stopbits)
        except PortError as error:
            raise LineLostError(str(error)) from error
        return RtuLine(port, ring, character_s(bus), gap_s(bus))
    if bus.kind not in MODBUS_KINDS:
        raise BusSetupError(f"bus {bus.id!r}: kind {bus.kind} is not supported yet")
    transport = await _connect(bus)
    if bus.kind is BusKind.RTU_OVER_TCP:
        return RtuLine(transport, ring, 0.0, gap_s(bus))
    return TcpLine(transport, ring, gap_s(bus))


async def _connect(bus: Bus) -> TcpTransport:
    try:
        async with asyncio.timeout(_CONNECT_S):
            return TcpTransport(*await asyncio.open_connection(bus.host, bus.tcp_port))
    except (OSError, TimeoutError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no answer"
        raise LineLostError(
            f"{address_of(bus)} cannot be reached ({reason}): check host, tcp_port and power"
        ) from error
