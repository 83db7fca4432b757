"""A CAN bus without a kernel: a hub that speaks socketcand's raw mode over TCP.

Every frame of a client reaches all other clients and the attached nodes; every frame of a node
reaches all clients and the other nodes. Compatible with python-can's interface "socketcand".
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from baywatt_sim.wire.tcp_server import TcpServer

MAX_COMMAND = 128
# A client that does not read loses frames, as a controller with a full mailbox does.
MAX_UNSENT = 256 * 1024
# Clients expect the answer to `rawmode` to arrive alone.
RAW_AFTER_S = 0.05
_COMMAND = re.compile(rb"<([^<>]{1,%d})>" % MAX_COMMAND)
_MAX_BITS = {3: 0x7FF, 8: 0x1FFFFFFF}


@dataclass(frozen=True, slots=True)
class CanFrame:
    """One classic CAN data frame."""

    can_id: int
    data: bytes
    extended: bool = True


class CanNode(Protocol):
    """A sans-I/O participant of a CAN bus."""

    def on_frame(self, frame: CanFrame, now: float) -> Sequence[CanFrame]:
        """What the node answers; `now` in monotonic seconds."""


class _Client:
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.raw = False

    def say(self, text: str) -> None:
        if not self.writer.is_closing():
            self.writer.write(f"< {text} >".encode("ascii"))

    def deliver(self, frame: CanFrame, now: float) -> None:
        if self.raw and self.writer.transport.get_write_buffer_size() < MAX_UNSENT:
            name = f"{frame.can_id:08X}" if frame.extended else f"{frame.can_id:03X}"
            self.say(f"frame {name} {now:.6f} {frame.data.hex().upper()}")


class SocketcandHub:
    """The bus. `channel` is the only name that clients may open."""

    def __init__(self, channel: str = "can0") -> None:
        self.channel = channel
        self._nodes: list[CanNode] = []
        self._clients: set[_Client] = set()
        self._server = TcpServer(self._serve)

    def attach(self, node: CanNode) -> None:
        """Put a simulated node on the bus."""
        self._nodes.append(node)

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port (useful with 0). Raises OSError when it is taken."""
        return await self._server.start(host, port)

    async def stop(self) -> None:
        """Stop listening and hang up on all clients."""
        await self._server.stop()

    def send(self, frame: CanFrame, sender: object = None) -> None:
        """Put a frame on the bus; everybody but the sender receives it."""
        now = asyncio.get_running_loop().time()
        for client in self._clients:
            if client is not sender:
                client.deliver(frame, now)
        for node in self._nodes:
            if node is not sender:
                for answer in node.on_frame(frame, now):
                    self.send(answer, node)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(writer)
        self._clients.add(client)
        client.say("hi")
        buffer = b""
        try:
            while data := await reader.read(4096):
                buffer = self._commands(client, buffer + data)
                await writer.drain()
        finally:
            self._clients.discard(client)

    def _commands(self, client: _Client, buffer: bytes) -> bytes:
        """Carry out all complete commands; returns what is left, bounded."""
        end = 0
        for found in _COMMAND.finditer(buffer):
            end = found.end()
            words = found[1].decode("ascii", "replace").split()
            if words:
                self._command(client, words)
        return buffer[end:][-MAX_COMMAND:]

    def _command(self, client: _Client, words: list[str]) -> None:
        name, arguments = words[0], words[1:]
        if name == "open":
            client.say("ok" if arguments == [self.channel] else "error could not open bus")
        elif name == "rawmode":
            client.say("ok")
            asyncio.get_running_loop().call_later(RAW_AFTER_S, setattr, client, "raw", True)
        elif name == "echo":
            client.say("echo")
        elif name == "send":
            frame = parse_send(arguments)
            if frame is None:
                client.say("error bad frame")
            else:
                self.send(frame, client)
        else:
            client.say("error unknown command")


def parse_send(arguments: Sequence[str]) -> CanFrame | None:
    """The frame of `send ID DLC B0 B1 …` (eight digits of id: extended), None if malformed."""
    try:
        can_id, length = int(arguments[0], 16), int(arguments[1], 16)
        data = bytes(int(each, 16) for each in arguments[2:])
    except (ValueError, IndexError):
        return None
    digits = len(arguments[0])
    if digits not in _MAX_BITS or not 0 <= can_id <= _MAX_BITS[digits]:
        return None
    if length != len(data) or length > 8:
        return None
    return CanFrame(can_id, data, extended=digits == 8)
