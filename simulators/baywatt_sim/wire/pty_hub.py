"""The public pty of a line: a link in the file system that serial clients open like a port.

The hub keeps the far side open itself, so clients may come, go and be killed at any time. What
nobody reads is dropped, as on a line.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import logging
import os
import termios
import tty
from pathlib import Path
from typing import Any

from baywatt_sim.wire.line import LineCore

log = logging.getLogger(__name__)

READ_BYTES = 4096
# The kernel holds 4095 unread bytes for a reader; well before that it is plainly not reading.
UNREAD_LIMIT = 3072

_SPEEDS = {
    getattr(termios, name): int(name[1:])
    for name in dir(termios)
    if name.startswith("B") and name[1:].isdigit()
}


class PortTakenError(Exception):
    """The path of the port is a real file or cannot be made."""


class PtyHub:
    """One line on one pty. `open` and `close` belong into the thread of the event loop."""

    def __init__(self, path: Path, line: LineCore, *, check_baudrate: bool = True) -> None:
        self.path = path
        self.line = line
        self.check_baudrate = check_baudrate
        self._master = self._far = -1
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Make the port appear, complete, at its path; raises PortTakenError."""
        self._loop = asyncio.get_running_loop()
        self._master, self._far = os.openpty()
        tty.setraw(self._far)
        os.set_blocking(self._master, False)
        self._allow_parity(termios.tcgetattr(self._master))
        self._publish(os.ttyname(self._far))
        self._loop.add_reader(self._master, self._on_readable)
        self.wake()

    def close(self) -> None:
        """Take the port away; a client that still holds it sees a hang-up."""
        if self._loop is None:
            return
        self._loop.remove_reader(self._master)
        if self._timer is not None:
            self._timer.cancel()
        with contextlib.suppress(OSError):
            if self.path.readlink() == Path(os.ttyname(self._far)):
                self.path.unlink()
        os.close(self._far)
        os.close(self._master)
        self._loop = None

    def wake(self) -> None:
        """Something changed outside (a swipe, a state): let the line advance now."""
        if self._loop is not None:
            self._advance(self._loop.time())

    def _publish(self, pty: str) -> None:
        if self.path.exists() and not self.path.is_symlink():
            self._refuse("is a file of its own: remove it or give the bus another `port`")
        scratch = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            scratch.unlink(missing_ok=True)
            scratch.symlink_to(pty)
            scratch.replace(self.path)
        except OSError as error:
            self._refuse(f"cannot be made: {error.strerror}")

    def _refuse(self, why: str) -> None:
        os.close(self._far)
        os.close(self._master)
        self._loop = None
        raise PortTakenError(f"port {self.path} {why}")

    def _on_readable(self) -> None:
        assert self._loop is not None  # noqa: S101 - the reader lives as long as the loop is set
        try:
            data = os.read(self._master, READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        now = self._loop.time()
        self.line.host_wrote(data, now, self._host_baudrate())
        self._advance(now)

    def _host_baudrate(self) -> int | None:
        """What the client set."""
        settings = termios.tcgetattr(self._master)
        self._allow_parity(settings)
        return _SPEEDS.get(settings[5]) if self.check_baudrate else None

    def _allow_parity(self, settings: list[Any]) -> None:
        """Keep the port open-able with parity.

        A pty has no parity: glibc answers EINVAL when a request changes nothing, so the second
        client that asks for 8E1 would fail. A flag that clients clear gives them their change.
        """
        if not settings[0] & termios.IGNBRK:
            mine = termios.tcgetattr(self._far)
            mine[0] |= termios.IGNBRK
            termios.tcsetattr(self._far, termios.TCSANOW, mine)

    def _advance(self, now: float) -> None:
        data = self.line.advance(now)
        if data:
            self._send(data)
        self._arm()

    def _send(self, data: bytes) -> None:
        unread = array.array("i", [0])
        fcntl.ioctl(self._far, termios.FIONREAD, unread)
        if unread[0] > UNREAD_LIMIT:
            termios.tcflush(self._far, termios.TCIFLUSH)
        try:
            os.write(self._master, data)
        except (BlockingIOError, InterruptedError):
            log.debug("%s: nobody reads, %d bytes lost", self.path, len(data))

    def _arm(self) -> None:
        assert self._loop is not None  # noqa: S101 - only called while open
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.line.next_deadline()
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.wake()
