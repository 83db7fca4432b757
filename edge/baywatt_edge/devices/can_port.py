"""A CAN channel as an asyncio port: send a frame, receive frames, notice its end."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Protocol

import can

from baywatt_contract.site_file import Bus
from baywatt_edge.devices.can_frame import CanFrame
from baywatt_edge.devices.errors import BusSetupError, LineLostError
from baywatt_edge.devices.socketcand import SocketcandPort

_RECEIVE_S = 0.2
_BACKLOG = 1000


class CanPort(Protocol):
    """An open channel."""

    async def send(self, frame: CanFrame) -> None:
        """Raises LineLostError."""
        ...

    async def receive(self) -> CanFrame:
        """The next data frame; raises LineLostError."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...


async def open_can(bus: Bus, root: Path) -> CanPort:
    """The open channel; raises LineLostError, or BusSetupError for an incomplete table."""
    if bus.interface == "socketcand":
        return await SocketcandPort.open(bus)
    if bus.interface is None or bus.channel is None:
        raise BusSetupError(f"bus {bus.id!r}: a CAN bus needs interface and channel")
    return await PythonCanPort.open(bus, root)


class PythonCanPort:
    """python-can off the event loop: one thread receives, sends run in the default executor."""

    def __init__(self, bus: can.BusABC) -> None:
        self._bus = bus
        self._loop = asyncio.get_running_loop()
        self._frames: asyncio.Queue[CanFrame | LineLostError] = asyncio.Queue(_BACKLOG)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._receive, name="can", daemon=True)
        self._thread.start()

    @classmethod
    async def open(cls, bus: Bus, root: Path) -> PythonCanPort:
        """Open in a thread: a USB adapter may take seconds. Raises LineLostError."""
        channel = bus.channel or ""
        if bus.interface == "slcan":
            channel = str(root / channel)

        def connect() -> can.BusABC:
            return can.Bus(interface=bus.interface, channel=channel, bitrate=bus.bitrate)

        try:
            return cls(await asyncio.to_thread(connect))
        except (can.CanError, OSError, ValueError, ImportError) as error:
            raise LineLostError(
                f"{bus.interface} channel {bus.channel} cannot be opened ({error}): "
                f"check channel, adapter and `ip link`"
            ) from error

    async def send(self, frame: CanFrame) -> None:
        """Send in the executor: a driver may block while the bus is off."""
        message = can.Message(
            arbitration_id=frame.can_id, data=frame.data, is_extended_id=frame.extended
        )
        try:
            await asyncio.to_thread(self._bus.send, message, 0.2)
        except (can.CanError, OSError, ValueError) as error:
            raise LineLostError(f"frame not sent: {error}") from error

    async def receive(self) -> CanFrame:
        """The next data frame; raises LineLostError once the receiving thread has ended."""
        frame = await self._frames.get()
        if isinstance(frame, LineLostError):
            raise frame
        return frame

    async def close(self) -> None:
        """Stop the thread, then shut the channel down."""
        self._stop.set()
        await asyncio.to_thread(self._shut_down)

    def _shut_down(self) -> None:
        self._thread.join(5.0)
        self._bus.shutdown()

    def _receive(self) -> None:
        while not self._stop.is_set():
            try:
                message = self._bus.recv(_RECEIVE_S)
            except (can.CanError, OSError, ValueError) as error:
                self._hand_over(LineLostError(f"cannot receive: {error}"))
                return
            if message is not None and not message.is_error_frame and not message.is_remote_frame:
                self._hand_over(
                    CanFrame(message.arbitration_id, bytes(message.data), message.is_extended_id)
                )

    def _hand_over(self, item: CanFrame | LineLostError) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._put, item)

    def _put(self, item: CanFrame | LineLostError) -> None:
        if self._frames.full():
            self._frames.get_nowait()
        self._frames.put_nowait(item)
