"""An asyncio byte transport on a serial port: open, write, read whatever came, close.

pyserial sets the line up; reading and writing go straight to the non-blocking descriptor. A pty
serves as well as a UART, so simulators are reached by the very same code.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import termios
from pathlib import Path

import serial

_READ_BYTES = 4096
_MAX_BACKLOG_BYTES = 64 * 1024
_NO_DATA = (BlockingIOError, InterruptedError)


class PortError(Exception):
    """Base of what can go wrong with a port; the text is one line for people."""


class PortUnavailableError(PortError):
    """The port cannot be opened now; try again later, the text says what to check."""


class PortLostError(PortError):
    """The open port is gone (unplugged, hung up, closed); close it and open it anew."""


class SerialPort:
    """An open port. One reader at a time; not to be shared between tasks."""

    def __init__(self, device: serial.Serial, path: Path) -> None:
        """Take over an open pyserial port; `open_port` is the way to get one."""
        self.path = path
        self._device = device
        self._fd: int = device.fileno()
        self._loop = asyncio.get_running_loop()
        self._backlog = bytearray()
        self._waiting: asyncio.Future[None] | None = None
        self._inbox = b""
        self._watched = False
        self._lost = ""

    @property
    def backlog_bytes(self) -> int:
        """Bytes written but not yet taken by the line; above 0 means: what is sent now is late."""
        return len(self._backlog)

    def write(self, data: bytes) -> None:
        """Send without blocking; what the line does not take at once follows by itself.

        Raises PortLostError when the port is gone or has taken nothing for 64 KiB.
        """
        self._require()
        if len(self._backlog) + len(data) > _MAX_BACKLOG_BYTES:
            self._fail("takes no more bytes")
            self._require()
        was_idle = not self._backlog
        self._backlog += data
        if was_idle:
            self._drain()
            self._require()
            if self._backlog:
                self._loop.add_writer(self._fd, self._on_writable)

    async def read(self) -> bytes:
        """At least one byte, whatever arrived; no byte is lost when the call is cancelled.

        Raises PortLostError on hang-up, end of file or `close`.
        """
        while True:
            self._require()
            if data := self._inbox or self._receive():
                self._inbox = b""
                return data
            self._require()
            await self._readable()

    def close(self) -> None:
        """Close the port and drop what was not sent; harmless when it is closed already."""
        self._fail("closed")
        if not self._device.is_open:
            return
        self._loop.remove_writer(self._fd)
        try:
            # The driver would otherwise wait up to 30 s for a stalled line to drain.
            termios.tcflush(self._fd, termios.TCOFLUSH)
        except termios.error:
            pass  # hung up: there is nothing left to drop
        finally:
            self._device.close()

    def _receive(self) -> bytes:
        """What has arrived, empty when nothing has; marks the port as lost on hang-up."""
        try:
            data = os.read(self._fd, _READ_BYTES)
        except _NO_DATA:
            return b""
        except OSError as error:
            self._fail(_reason(error))
            return b""
        if not data and self._hung_up():
            self._fail("hung up")
        return data

    def _hung_up(self) -> bool:
        """An empty read alone proves nothing: with VMIN 0 it also means "no byte yet"."""
        poll = select.poll()
        poll.register(self._fd, 0)  # HUP, ERR and NVAL are always reported
        return bool(poll.poll(0))

    async def _readable(self) -> None:
        self._waiting = self._loop.create_future()
        if not self._watched:
            self._loop.add_reader(self._fd, self._on_readable)
            self._watched = True
        try:
            await self._waiting
        finally:
            self._waiting = None

    def _on_readable(self) -> None:
        """Take the bytes for whoever waits; the watch goes on, as the next wait comes at once."""
        if self._waiting is None or self._waiting.done():
            self._unwatch()
        elif data := self._receive():
            self._inbox = data
            self._wake()

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._fd)

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _drain(self) -> None:
        try:
            del self._backlog[: os.write(self._fd, self._backlog)]
        except _NO_DATA:
            return
        except OSError as error:
            self._fail(_reason(error))

    def _on_writable(self) -> None:
        self._drain()
        if self._lost or not self._backlog:
            self._loop.remove_writer(self._fd)

    def _fail(self, reason: str) -> None:
        if not self._lost:
            self._lost = reason
            self._backlog.clear()
            self._unwatch()
            self._wake()

    def _require(self) -> None:
        if self._lost:
            raise PortLostError(f"port {self.path}: {self._lost}")


async def open_port(path: Path, baudrate: int, parity: str, stopbits: int) -> SerialPort:
    """Open `path` raw, 8 data bits, locked against other programs, input flushed.

    `parity` is "N", "E" or "O". Raises PortUnavailableError with the thing to check.
    """
    return SerialPort(_open(path, baudrate, parity, stopbits), path)


def _open(path: Path, baudrate: int, parity: str, stopbits: int) -> serial.Serial:
    if _is_pty(path):
        # The kernel drops PARENB on a pty and the next open that asks for it fails with EINVAL.
        parity = serial.PARITY_NONE
    try:
        # Modem lines a pty lacks are passed over by pyserial itself (ENOTTY, EINVAL).
        return serial.Serial(
            str(path),
            baudrate=baudrate,
            parity=parity,
            stopbits=stopbits,
            timeout=0,
            write_timeout=0,
            exclusive=True,
        )
    except serial.SerialException as error:
        raise PortUnavailableError(_advice(path, error)) from error
    except (OSError, ValueError, termios.error) as error:
        raise PortUnavailableError(
            f"port {path} does not take {baudrate} baud, parity {parity}, {stopbits} stop bits: "
            f"check the line settings of its bus ({error})"
        ) from error


def _is_pty(path: Path) -> bool:
    return path.resolve().is_relative_to("/dev/pts")


def _advice(path: Path, error: serial.SerialException) -> str:
    """One line: what is wrong with the port and what to do about it."""
    code = error.errno
    if code in {errno.ENOENT, errno.ENXIO, errno.ENODEV}:
        return f"port {path} does not exist: check `port` of its bus, and the cable"
    if code in {errno.EACCES, errno.EPERM}:
        return f"port {path} may not be opened: add the daemon's user to the port's group"
    if code in {errno.EWOULDBLOCK, errno.EBUSY}:
        return f"port {path} is in use: stop the other program (lsof {path})"
    if code == errno.EIO:
        return f"port {path} has nothing behind it: check the adapter or restart the simulator"
    return f"port {path} is no serial port: check `port` of its bus ({error})"


def _reason(error: OSError) -> str:
    """A line whose far end went away reports EIO."""
    return "hung up" if error.errno == errno.EIO else error.strerror or str(error)
