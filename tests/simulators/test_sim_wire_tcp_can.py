"""The TCP gateway and the CAN hub, asked by pymodbus and python-can."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.client import AsyncModbusTcpClient

from baywatt_sim.wire.link import Link
from baywatt_sim.wire.modbus_tcp import GatewayUnit, ModbusTcpServer
from baywatt_sim.wire.pdu import TARGET_SILENT, Space
from baywatt_sim.wire.socketcand import CanFrame, SocketcandHub, parse_send


class Fixed:
    def __init__(self, value: int) -> None:
        self.value = value

    def read(self, space: Space, address: int, count: int) -> Sequence[int]:
        return [self.value] * count

    def write(self, space: Space, address: int, values: Sequence[int]) -> None:
        self.value = values[0]


async def test_a_gateway_serves_its_units_and_says_who_is_silent() -> None:
    links = {1: Link(), 2: Link()}
    units = {unit: GatewayUnit(Fixed(unit), link) for unit, link in links.items()}
    server = ModbusTcpServer(units, timeout_s=0.01)
    port = await server.start("127.0.0.1", 0)
    asking = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=1, retries=0)
    assert await asking.connect()
    for unit in units:
        answer = await asking.read_holding_registers(5, count=1, device_id=unit)
        assert answer.registers == [unit]
    links[2].up = False
    for absent in (2, 9):
        answer = await asking.read_holding_registers(5, count=1, device_id=absent)
        assert answer.exception_code == TARGET_SILENT
    assert units[1].requests == 1
    asking.close()
    await server.stop()


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n\r\n", b"\0\1\0\0\xff\xff\1\3", b"\0"])
async def test_a_client_that_does_not_speak_modbus_is_hung_up_on(noise: bytes) -> None:
    server = ModbusTcpServer({1: GatewayUnit(Fixed(7))})
    port = await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(noise)
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(), 2) == b""
    writer.close()
    await server.stop()


class Parrot:
    """Answers every frame with its id plus one."""

    def on_frame(self, frame: CanFrame, now: float) -> Sequence[CanFrame]:
        return [CanFrame(frame.can_id + 1, frame.data, frame.extended)]


@pytest.fixture
def quiet_python_can() -> None:
    logging.getLogger("can.interfaces.socketcand").setLevel(logging.ERROR)


def opened(port: int) -> can.BusABC:
    return can.Bus(interface="socketcand", host="127.0.0.1", port=port, channel="can0")


async def test_two_clients_and_a_node_share_a_can_bus(quiet_python_can: None) -> None:
    hub = SocketcandHub()
    hub.attach(Parrot())
    port = await hub.start("127.0.0.1", 0)
    one, two = [await asyncio.to_thread(opened, port) for _ in range(2)]
    sent = can.Message(arbitration_id=0x028300F0, data=bytes(range(8)), is_extended_id=True)

    def talk() -> tuple[list[can.Message], list[can.Message]]:
        seen: tuple[list[can.Message], list[can.Message]] = ([], [])
        # Raw mode begins a moment after its answer, so the first frames may be missed.
        for _ in range(50):
            one.send(sent)
            for bus, frames in ((one, seen[0]), (two, seen[1])):
                while (frame := bus.recv(0.05)) is not None:
                    frames.append(frame)
            if seen[0] and len(seen[1]) >= 2:
                break
        return seen

    mine, theirs = await asyncio.to_thread(talk)
    assert {frame.arbitration_id for frame in mine} == {0x028300F1}
    assert {frame.arbitration_id for frame in theirs} == {0x028300F0, 0x028300F1}
    assert all(frame.is_extended_id and bytes(frame.data) == bytes(range(8)) for frame in theirs)
    for bus in (one, two):
        await asyncio.to_thread(bus.shutdown)
    await hub.stop()


@given(st.lists(st.text(max_size=9), max_size=12))
def test_malformed_send_commands_are_refused(words: list[str]) -> None:
    frame = parse_send(words)
    assert frame is None or (len(frame.data) <= 8 and frame.can_id <= 0x1FFFFFFF)


@given(st.binary(max_size=8), st.integers(0, 0x7FF))
def test_a_send_command_is_read_as_written(data: bytes, can_id: int) -> None:
    words = [f"{can_id:03X}", f"{len(data):X}", *(f"{each:x}" for each in data)]
    assert parse_send(words) == CanFrame(can_id, data, extended=False)


async def test_stopping_hangs_up_on_clients_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hub = SocketcandHub()
    server = ModbusTcpServer({}, timeout_s=30)
    ports = [await each.start("127.0.0.1", 0) for each in (hub, server)]
    clients = [await asyncio.open_connection("127.0.0.1", port) for port in ports]
    assert await clients[0][0].readexactly(6) == b"< hi >"
    clients[1][1].write(bytes.fromhex("0001 0000 0006 09 03 0000 0001"))
    await clients[1][1].drain()
    for each in (hub, server):
        await each.stop()
    for reader, writer in clients:
        assert await asyncio.wait_for(reader.read(), 2) == b""
        writer.close()
    assert not caplog.records
