"""A Modbus RTU line on a pty, asked by an ordinary client; the sans-I/O slave under hypothesis."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import struct
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import serial
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.client import AsyncModbusSerialClient
from pymodbus.exceptions import ModbusIOException

from baywatt_sim.wire.crc import crc16, seal
from baywatt_sim.wire.line import LineCore, Pace
from baywatt_sim.wire.link import Link
from baywatt_sim.wire.pdu import ILLEGAL_ADDRESS, ModbusFault, Space
from baywatt_sim.wire.pty_hub import PortTakenError, PtyHub
from baywatt_sim.wire.rtu_slave import RtuSlave


class Table:
    """A hundred registers, each its own address plus a base; bits are odd addresses."""

    def __init__(self, base: int = 0) -> None:
        self.base = base
        self.written: list[tuple[Space, int, list[int]]] = []

    def read(self, space: Space, address: int, count: int) -> Sequence[int]:
        if address + count > 100:
            raise ModbusFault(ILLEGAL_ADDRESS)
        if space in (Space.COILS, Space.DISCRETE):
            return [i & 1 for i in range(address, address + count)]
        return [self.base + i for i in range(address, address + count)]

    def write(self, space: Space, address: int, values: Sequence[int]) -> None:
        self.written.append((space, address, list(values)))


def client(port: Path, timeout: float = 0.3, baudrate: int = 19_200) -> AsyncModbusSerialClient:
    return AsyncModbusSerialClient(str(port), baudrate=baudrate, timeout=timeout, retries=0)


class Bench:
    """Two slaves, 1 and 11, on one hub."""

    def __init__(self, path: Path, pace: Pace | None = None) -> None:
        self.line = LineCore(pace=pace)
        self.tables = {1: Table(), 11: Table(1000)}
        self.links = {unit: Link(baudrate=19_200) for unit in self.tables}
        for unit, table in self.tables.items():
            self.line.attach(RtuSlave(unit, table), self.links[unit])
        self.hub = PtyHub(path, self.line)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path / "run" / "meters")
    made.hub.open()
    yield made
    made.hub.close()


@pytest.fixture
async def modbus(bench: Bench) -> AsyncIterator[AsyncModbusSerialClient]:
    asking = client(bench.hub.path)
    assert await asking.connect()
    yield asking
    asking.close()


async def answers(asking: AsyncModbusSerialClient, unit: int) -> bool:
    """Whether one of five requests is answered: a busy machine may miss a deadline."""
    for _ in range(5):
        if not await silent(asking, unit):
            return True
    return False


async def silent(asking: AsyncModbusSerialClient, unit: int) -> bool:
    try:
        return (await asking.read_input_registers(0, count=1, device_id=unit)).isError()
    except ModbusIOException:
        return True


async def test_every_function_of_an_ordinary_client(
    bench: Bench, modbus: AsyncModbusSerialClient
) -> None:
    read = await modbus.read_holding_registers(3, count=4, device_id=1)
    assert read.registers == [3, 4, 5, 6]
    read = await modbus.read_input_registers(0, count=80, device_id=11)
    assert read.registers == list(range(1000, 1080))
    assert (await modbus.read_coils(0, count=9, device_id=1)).bits[:9] == [False, True] * 4 + [
        False
    ]
    assert (await modbus.read_discrete_inputs(1, count=2, device_id=1)).bits[:2] == [True, False]
    await modbus.write_register(7, 160, device_id=1)
    await modbus.write_registers(8, [1, 2], device_id=1)
    await modbus.write_coil(9, True, device_id=1)
    await modbus.write_coils(10, [True, False, True], device_id=1)
    assert bench.tables[1].written == [
        (Space.HOLDING, 7, [160]),
        (Space.HOLDING, 8, [1, 2]),
        (Space.COILS, 9, [1]),
        (Space.COILS, 10, [1, 0, 1]),
    ]


async def test_an_address_beyond_the_table_is_refused_with_exception_2(
    modbus: AsyncModbusSerialClient,
) -> None:
    answer = await modbus.read_holding_registers(99, count=4, device_id=1)
    assert answer.isError()
    assert answer.exception_code == ILLEGAL_ADDRESS


async def test_an_absent_unit_and_a_cut_link_are_silent_and_the_others_go_on(
    bench: Bench, modbus: AsyncModbusSerialClient
) -> None:
    assert await silent(modbus, 5)
    bench.links[11].up = False
    assert await silent(modbus, 11)
    assert await answers(modbus, 1)
    bench.links[11].up = True
    assert await answers(modbus, 11)


async def test_a_device_with_another_baud_rate_or_swapped_wires_is_silent(
    bench: Bench, modbus: AsyncModbusSerialClient
) -> None:
    bench.links[1].baudrate = 9600
    assert await silent(modbus, 1)
    bench.links[1].baudrate = 19_200
    bench.links[1].swap_ab = True
    assert await silent(modbus, 1)
    bench.links[1].swap_ab = False
    assert await answers(modbus, 1)


async def test_two_devices_with_one_id_corrupt_each_other(
    bench: Bench, modbus: AsyncModbusSerialClient
) -> None:
    bench.links[1].duplicate_id = True
    assert any([await silent(modbus, 1) for _ in range(6)])


async def test_clients_may_open_again_and_again_with_parity(bench: Bench) -> None:
    def ask() -> bytes:
        with serial.Serial(str(bench.hub.path), 19_200, parity="E", timeout=2) as port:
            port.write(REQUEST)
            return port.read(9)

    for _ in range(4):
        assert await asyncio.to_thread(ask) == seal(bytes([1, 3, 4, 0, 0, 0, 1]))


async def test_a_killed_client_does_not_disturb_the_line(bench: Bench) -> None:
    """The client dies by SIGKILL while it floods the line with requests and reads nothing."""
    code = (
        "import os,sys\nfd=os.open(sys.argv[1],os.O_RDWR|os.O_NOCTTY)\n"
        "frame=bytes.fromhex(sys.argv[2])\n"
        "for _ in range(200): os.write(fd,frame)\nprint('flooded',flush=True)\nos.read(0,1)"
    )
    frame = seal(struct.pack(">BBHH", 1, 4, 0, 80)).hex()
    victim = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        str(bench.hub.path),
        frame,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert victim.stdout is not None
    assert await victim.stdout.readline() == b"flooded\n"
    os.kill(victim.pid, signal.SIGKILL)
    await victim.wait()
    asking = client(bench.hub.path)
    assert await asking.connect()
    assert await answers(asking, 1)
    asking.close()


async def test_the_port_is_a_link_that_goes_with_the_hub_and_spares_real_files(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path / "port")
    bench.hub.open()
    assert (tmp_path / "port").is_symlink()
    bench.hub.close()
    assert not (tmp_path / "port").is_symlink()
    (tmp_path / "port").write_text("precious")
    with pytest.raises(PortTakenError, match="is a file of its own"):
        bench.hub.open()


async def test_pacing_comes_near_the_limit_of_the_wire(tmp_path: Path) -> None:
    """Not faster than copper, and not much slower: 19,200 baud, 11 bits, 80 registers."""
    bench = Bench(tmp_path / "paced", Pace(19_200))
    bench.hub.open()
    asking = client(bench.hub.path, timeout=2)
    assert await asking.connect()
    clock = asyncio.get_running_loop().time
    rounds = []
    for _ in range(10):
        begun = clock()
        assert (await asking.read_input_registers(0, count=80, device_id=1)).registers
        rounds.append(clock() - begun)
    limit = (8 + 165) * 11 / 19_200 + 3.5 * 11 / 19_200
    asking.close()
    bench.hub.close()
    assert limit <= min(rounds) < limit * 1.1


REQUEST = seal(struct.pack(">BBHH", 1, 3, 0, 2))


@given(st.lists(st.integers(1, len(REQUEST) - 1), max_size=4))
def test_a_request_may_arrive_in_any_pieces(cuts: list[int]) -> None:
    slave = RtuSlave(1, Table())
    edges = [0, *sorted(cuts), len(REQUEST)]
    replies = [
        reply for a, b in itertools.pairwise(edges) for reply in slave.receive(REQUEST[a:b], 1.0)
    ]
    assert [reply.data for reply in replies] == [seal(bytes([1, 3, 4, 0, 0, 0, 1]))]


@given(st.binary(max_size=300))
def test_garbage_before_a_request_never_crashes_and_a_pause_resynchronises(noise: bytes) -> None:
    slave = RtuSlave(1, Table())
    slave.receive(noise, 1.0)
    replies = slave.receive(REQUEST, 2.0)
    assert [reply.data for reply in replies] == [seal(bytes([1, 3, 4, 0, 0, 0, 1]))]


@given(st.binary(min_size=2, max_size=250), st.integers(1, 247))
def test_any_well_sealed_request_gets_one_well_sealed_answer_or_none(pdu: bytes, unit: int) -> None:
    slave = RtuSlave(1, Table())
    for reply in slave.receive(seal(bytes([unit]) + pdu), 1.0):
        assert crc16(reply.data[:-2]) == int.from_bytes(reply.data[-2:], "little")
        assert reply.data[0] == 1


def test_a_broadcast_is_carried_out_without_an_answer() -> None:
    table = Table()
    slave = RtuSlave(11, table)
    assert not slave.receive(seal(struct.pack(">BBHH", 0, 6, 2, 12)), 1.0)
    assert table.written == [(Space.HOLDING, 2, [12])]


def test_the_host_that_talks_into_an_answer_corrupts_it() -> None:
    line = LineCore(pace=Pace(19_200))
    line.attach(RtuSlave(1, Table()), Link())
    line.host_wrote(REQUEST, 0.0)
    line.advance(0.006)
    line.host_wrote(b"\0" * 8, 0.0075)
    assert line.advance(1.0) != seal(bytes([1, 3, 4, 0, 0, 0, 1]))


def test_echo_lets_the_host_hear_itself() -> None:
    line = LineCore()
    line.echo = True
    line.attach(RtuSlave(1, Table()), Link())
    line.host_wrote(REQUEST, 0.0)
    assert line.advance(0.0) == REQUEST + seal(bytes([1, 3, 4, 0, 0, 0, 1]))


def test_a_device_that_needs_a_gap_ignores_hasty_requests() -> None:
    slave = RtuSlave(1, Table(), min_gap_s=0.1)
    assert slave.receive(REQUEST, 1.0)
    assert not slave.receive(REQUEST, 1.09)
    assert slave.receive(REQUEST, 1.11)


ANSWER = seal(bytes([1, 3, 4, 0, 0, 0, 1]))


def exchange(link: Link, times: int = 1) -> list[bytes]:
    """What the host hears within the second after each of its requests."""
    line = LineCore()
    line.attach(RtuSlave(1, Table()), link)
    heard = []
    for second in range(times):
        line.host_wrote(REQUEST, float(second))
        heard.append(line.advance(second + 0.9))
    return heard


def test_an_answer_may_be_late() -> None:
    line = LineCore()
    line.attach(RtuSlave(1, Table()), Link(latency_ms=200))
    line.host_wrote(REQUEST, 0.0)
    assert line.advance(0.19) == b""
    assert line.next_deadline() == pytest.approx(0.2)
    assert line.advance(0.2) == ANSWER


def test_answers_are_lost_and_spoilt_at_the_rates_asked_for() -> None:
    lost = exchange(Link(drop=0.5), 400).count(b"")
    assert 150 < lost < 250
    spoilt = [each for each in exchange(Link(garble=0.02), 400) if each != ANSWER]
    # 17 bytes must pass unspoilt: about 29 % of all exchanges fail.
    assert 70 < len(spoilt) < 165
    assert exchange(Link(), 3) == [ANSWER] * 3


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 500), st.booleans())
def test_no_mix_of_faults_makes_the_line_stall_or_crash(
    garble: float, drop: float, latency_ms: int, twice: bool
) -> None:
    link = Link(garble=garble, drop=drop, latency_ms=latency_ms, duplicate_id=twice)
    exchange(link, 5)
    link.garble = link.drop = link.latency_ms = 0.0
    link.duplicate_id = False
    assert exchange(link) == [ANSWER]
