"""A Modbus TCP gateway with several units (Modbus Messaging on TCP/IP V1.0b)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from baywatt_sim.wire.link import Link
from baywatt_sim.wire.pdu import TARGET_SILENT, NoAnswerError, RegisterModel, answer
from baywatt_sim.wire.tcp_server import TcpServer

_HEADER = 7
MAX_PDU = 253


@dataclass(slots=True)
class GatewayUnit:
    """One device on the gateway's serial side; `requests` counts those that reached it."""

    model: RegisterModel
    link: Link = field(default_factory=Link)
    line_baudrate: int | None = None
    requests: int = 0


class ModbusTcpServer:
    """Serves any number of clients; a unit that does not answer gives exception 0x0B.

    `timeout_s` is how long the gateway waits for a silent unit, as its serial side would.
    """

    def __init__(self, units: Mapping[int, GatewayUnit], *, timeout_s: float = 0.1) -> None:
        self.units = dict(units)
        self.timeout_s = timeout_s
        self._server = TcpServer(self._client)

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port (useful with 0). Raises OSError when it is taken."""
        return await self._server.start(host, port)

    async def stop(self) -> None:
        """Stop listening and hang up on all clients."""
        await self._server.stop()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readexactly(_HEADER)
            length = int.from_bytes(head[4:6], "big") - 1
            if head[2:4] != b"\0\0" or not 1 <= length <= MAX_PDU:
                return
            pdu = await self._ask(head[6], await reader.readexactly(length))
            writer.write(head[:4] + (len(pdu) + 1).to_bytes(2, "big") + head[6:7] + pdu)
            await writer.drain()

    async def _ask(self, number: int, pdu: bytes) -> bytes:
        unit = self.units.get(number)
        if unit is None or not unit.link.hears(unit.line_baudrate):
            await asyncio.sleep(self.timeout_s)
            return bytes([pdu[0] | 0x80, TARGET_SILENT])
        unit.requests += 1
        if unit.link.latency_s:
            await asyncio.sleep(unit.link.latency_s)
        try:
            reply = answer(unit.model, pdu)
        except NoAnswerError:
            return bytes([pdu[0] | 0x80, TARGET_SILENT])
        # The gateway checks the serial checksum: what arrives spoilt counts as silence.
        if unit.link.loses() or unit.link.duplicate_id or unit.link.spoil(reply) != reply:
            return bytes([pdu[0] | 0x80, TARGET_SILENT])
        return reply
