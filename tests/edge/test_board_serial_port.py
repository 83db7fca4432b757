"""The serial transport on real ptys, with the traps that ptys set."""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from baywatt_edge.devices.serial_port import (
    PortLostError,
    PortUnavailableError,
    SerialPort,
    open_port,
)


@dataclass
class Pty:
    """The far end of a line that a test holds."""

    far: int
    path: Path
    open_fds: list[int] = field(default_factory=list)

    def hang_up(self) -> None:
        for fd in self.open_fds:
            os.close(fd)
        self.open_fds.clear()


@pytest.fixture
def pty() -> Iterator[Pty]:
    far, near = os.openpty()
    tty.setraw(near)
    os.set_blocking(far, False)
    line = Pty(far, Path(os.ttyname(near)), [far])
    os.close(near)
    yield line
    line.hang_up()


async def opened(pty: Pty, parity: str = "N", stopbits: int = 1) -> SerialPort:
    return await open_port(pty.path, 115200, parity, stopbits)


async def test_bytes_go_both_ways_unchanged(pty: Pty) -> None:
    port = await opened(pty)
    every_byte = bytes(range(256))
    port.write(every_byte)
    assert os.read(pty.far, 1000) == every_byte
    os.write(pty.far, every_byte)
    assert await asyncio.wait_for(port.read(), 5) == every_byte
    port.close()


async def test_read_waits_for_the_first_byte(pty: Pty) -> None:
    port = await opened(pty)
    reading = asyncio.create_task(port.read())
    await asyncio.sleep(0)
    assert not reading.done()
    os.write(pty.far, b"x")
    assert await asyncio.wait_for(reading, 5) == b"x"
    port.close()


async def test_a_cancelled_read_loses_no_byte(pty: Pty) -> None:
    port = await opened(pty)
    reading = asyncio.create_task(port.read())
    await asyncio.sleep(0)
    os.write(pty.far, b"kept")
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await asyncio.wait_for(port.read(), 5) == b"kept"
    port.close()


@pytest.mark.parametrize("parity", ["N", "E", "O"])
@pytest.mark.parametrize("stopbits", [1, 2])
async def test_a_pty_can_be_opened_again_with_any_parity(
    pty: Pty, parity: str, stopbits: int
) -> None:
    for _ in range(3):
        port = await opened(pty, parity, stopbits)
        port.write(b"\x55")
        assert os.read(pty.far, 10) == b"\x55"
        port.close()


async def test_hang_up_wakes_the_reader(pty: Pty) -> None:
    port = await opened(pty)
    reading = asyncio.create_task(port.read())
    await asyncio.sleep(0)
    pty.hang_up()
    with pytest.raises(PortLostError, match="port /dev/pts/"):
        await asyncio.wait_for(reading, 5)
    with pytest.raises(PortLostError):
        port.write(b"late")
    port.close()


async def test_write_after_hang_up_raises(pty: Pty) -> None:
    port = await opened(pty)
    pty.hang_up()
    with pytest.raises(PortLostError):
        port.write(b"x")
    port.close()


async def test_close_wakes_the_reader_and_may_be_repeated(pty: Pty) -> None:
    port = await opened(pty)
    reading = asyncio.create_task(port.read())
    await asyncio.sleep(0)
    port.close()
    port.close()
    with pytest.raises(PortLostError, match="closed"):
        await asyncio.wait_for(reading, 5)


async def test_a_slow_line_takes_a_long_write_in_pieces(pty: Pty) -> None:
    port = await opened(pty)
    sent = bytes(i % 251 for i in range(40_000))
    port.write(sent)
    assert port.backlog_bytes > 0
    received = bytearray()

    async def collect() -> None:
        while len(received) < len(sent):
            try:
                received.extend(os.read(pty.far, 4096))
            except BlockingIOError:
                await asyncio.sleep(0.001)

    await asyncio.wait_for(collect(), 10)
    assert bytes(received) == sent
    assert port.backlog_bytes == 0
    port.close()


async def test_a_line_that_takes_nothing_is_given_up(pty: Pty) -> None:
    port = await opened(pty)
    port.write(bytes(40 * 1024))
    with pytest.raises(PortLostError, match="takes no more bytes"):
        port.write(bytes(60 * 1024))
    port.close()


async def test_a_missing_port_is_named_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(PortUnavailableError, match=r"port .*/nowhere does not exist: check `port`"):
        await open_port(tmp_path / "nowhere", 9600, "N", 1)


async def test_a_file_is_no_serial_port(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    with pytest.raises(PortUnavailableError, match="is no serial port"):
        await open_port(path, 9600, "N", 1)


async def test_a_second_program_is_kept_out(pty: Pty) -> None:
    port = await opened(pty)
    with pytest.raises(PortUnavailableError, match="in use"):
        await opened(pty)
    port.close()
    (await opened(pty)).close()
