"""socketcand's raw mode over asyncio streams.

python-can's own client spins at full load for ten seconds when the daemon is not there, and for
ever when it hangs up; this one waits, and says so.
"""

from __future__ import annotations

import asyncio
import re

from baywatt_contract.site_file import Bus
from baywatt_edge.devices.can_frame import CanFrame
from baywatt_edge.devices.errors import LineLostError

_HANDSHAKE_S = 5.0
_MAX_ITEM = 256
_FRAME = re.compile(r"frame ([0-9A-Fa-f]{3}|[0-9A-Fa-f]{8}) [0-9.]+ ?([0-9A-Fa-f ]*)")


def parse_item(item: str) -> CanFrame | None:
    """The frame in the text between `<` and `>`; None for anything else."""
    found = _FRAME.fullmatch(item.strip())
    if found is None:
        return None
    digits = found[2].replace(" ", "")
    if len(digits) > 16 or len(digits) % 2:
        return None
    return CanFrame(int(found[1], 16), bytes.fromhex(digits), len(found[1]) == 8)


def send_item(frame: CanFrame) -> bytes:
    """The command that sends a frame."""
    name = f"{frame.can_id:08X}" if frame.extended else f"{frame.can_id:03X}"
    data = " ".join(f"{byte:02X}" for byte in frame.data)
    return f"< send {name} {len(frame.data):X} {data} >".encode("ascii")


class SocketcandPort:
    """An open raw-mode connection to one channel."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._text = ""

    @classmethod
    async def open(cls, bus: Bus) -> SocketcandPort:
        """Connect and enter raw mode; raises LineLostError naming what to check."""
        where = f"socketcand at {bus.host}:{bus.tcp_port}"
        try:
            async with asyncio.timeout(_HANDSHAKE_S):
                port = cls(*await asyncio.open_connection(bus.host, bus.tcp_port))
                try:
                    await port._enter(bus.channel or "", where)
                except BaseException:
                    port._writer.close()
                    raise
                return port
        except (OSError, TimeoutError) as error:
            reason = (
                error.strerror if isinstance(error, OSError) and error.strerror else "no answer"
            )
            raise LineLostError(
                f"{where} cannot be reached ({reason}): check host and port"
            ) from error

    async def _enter(self, channel: str, where: str) -> None:
        for command, expected in (("", "hi"), (f"< open {channel} >", "ok"), ("< rawmode >", "ok")):
            if command:
                self._writer.write(command.encode("ascii"))
            answer = await self._item()
            if answer != expected:
                raise LineLostError(f"{where} answers {answer[:60]!r}: check channel {channel!r}")

    async def send(self, frame: CanFrame) -> None:
        """Send one frame; raises LineLostError."""
        try:
            self._writer.write(send_item(frame))
            await self._writer.drain()
        except OSError as error:
            raise LineLostError(f"frame not sent: {error}") from error

    async def receive(self) -> CanFrame:
        """The next data frame; anything else is skipped. Raises LineLostError."""
        while True:
            if (frame := parse_item(await self._item())) is not None:
                return frame

    async def close(self) -> None:
        """Close without waiting for the peer."""
        self._writer.close()

    async def _item(self) -> str:
        """The text between the next `<` and `>`; no byte is lost when the call is cancelled."""
        while True:
            end = self._text.find(">")
            if end >= 0:
                item, self._text = self._text[:end], self._text[end + 1 :]
                return item[item.rfind("<") + 1 :].strip()
            if len(self._text) > _MAX_ITEM:
                self._text = ""  # no frame is that long: noise
            self._text += await self._more()

    async def _more(self) -> str:
        try:
            data = await self._reader.read(4096)
        except OSError as error:
            raise LineLostError(f"the connection broke: {error}") from error
        if not data:
            raise LineLostError("socketcand closed the connection")
        return data.decode("ascii", "replace")
