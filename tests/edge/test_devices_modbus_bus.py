"""The Modbus owner on real transports: a pty line and a TCP gateway, healthy and broken."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from devices_rig import Ears, Registers, device, meter_model, profile, rtu_bus, rtu_rig, running

from baywatt_contract.observations import LinkChanged, MeterReading, Quality, Quantity, ReadMeter
from baywatt_contract.site_file import Bus
from baywatt_edge.clock import SystemClock
from baywatt_edge.devices.capture import Direction, FrameRing
from baywatt_edge.devices.drivers.meter import MeterDriver
from baywatt_edge.devices.modbus_bus import ModbusBus
from baywatt_sim.wire.link import Link
from baywatt_sim.wire.modbus_tcp import GatewayUnit, ModbusTcpServer
from baywatt_sim.wire.rtu_slave import RtuSlave


def meter(name: str, unit: int, **manners: object) -> MeterDriver:
    manners = {"interval_ms": 50, "timeout_ms": 60} | manners
    return MeterDriver(device(name, unit), profile("eastron-sdm630", **manners))


def owner(tmp_path: Path, ears: Ears, *drivers: MeterDriver, bus: Bus | None = None) -> ModbusBus:
    return ModbusBus(bus or rtu_bus(), drivers, SystemClock(1), ears, tmp_path)


async def test_a_meter_on_a_serial_line_is_read_whole(tmp_path: Path) -> None:
    ears = Ears()
    bus = owner(tmp_path, ears, meter("grid", 1))
    async with rtu_rig(tmp_path, {1: meter_model(1_234_567)}), running(bus):
        reading = await ears.wait(MeterReading)
    assert reading.quality is Quality.GOOD
    assert reading.energy_wh == 1_234_567
    assert reading.power_w == 6900
    assert reading.current_ma == (10_000, 10_000, 10_000)
    assert reading.values[Quantity.FREQUENCY_MHZ] == 50_000
    assert ears.of(LinkChanged)[0].up


async def test_a_reading_on_demand_carries_its_tag_and_is_taken_afterwards(tmp_path: Path) -> None:
    ears = Ears()
    async with rtu_rig(tmp_path, {1: meter_model()}):
        bus = owner(tmp_path, ears, meter("grid", 1, interval_ms=3_600_000))
        async with running(bus):
            await ears.wait(MeterReading)
            asked_at = SystemClock(1).now().mono_ms
            bus.read_meter(ReadMeter("grid", "begin-7"))
            reading = await ears.wait(MeterReading, lambda r: r.requested_by == "begin-7", 1.0)
    assert reading.measured_at.mono_ms >= asked_at
    assert reading.quality is Quality.GOOD


async def test_a_demand_to_a_silent_meter_is_answered_as_invalid(tmp_path: Path) -> None:
    ears = Ears()
    async with rtu_rig(tmp_path, {}):
        bus = owner(tmp_path, ears, meter("grid", 1))
        async with running(bus):
            bus.read_meter(ReadMeter("grid", "begin-7"))
            reading = await ears.wait(MeterReading, seconds=8)
    assert (reading.requested_by, reading.quality) == ("begin-7", Quality.INVALID)
    assert reading.values == {}


async def test_a_silent_device_goes_down_after_three_misses_and_comes_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "baywatt_edge")
    ears = Ears()
    async with rtu_rig(tmp_path, {1: meter_model(), 2: meter_model()}) as rig:
        rig.links[2].up = False
        bus = owner(tmp_path, ears, meter("grid", 1), meter("second", 2))
        async with running(bus):
            down = await ears.wait(LinkChanged, lambda c: not c.up)
            assert down.device_id == "second"
            assert "unit 2 on bus rs485" in down.detail
            assert rig.slaves[2].requests == 0
            rig.links[2].up = True
            await ears.wait(LinkChanged, lambda c: c.up and c.device_id == "second")
            lines = {line.device_id: line for line in bus.health()}
    assert lines["second"].timeouts >= 3
    assert lines["grid"].timeouts == 0
    assert lines["grid"].latency_p50_ms > 0
    told = [(each.levelname, each.getMessage()) for each in caplog.records]
    assert told == [
        ("WARNING", f"device second on bus rs485 is down: {down.detail}"),
        ("INFO", "device second on bus rs485 answers again"),
    ]


async def test_garbage_never_becomes_a_reading(tmp_path: Path) -> None:
    ears = Ears()
    async with rtu_rig(tmp_path, {1: meter_model(1_000_000)}) as rig:
        rig.links[1].garble = 0.02
        bus = owner(tmp_path, ears, meter("grid", 1, interval_ms=0, timeout_ms=20))
        async with running(bus):
            await ears.wait(LinkChanged, lambda c: not c.up)
            assert "garbage" in bus.health()[0].detail
            assert bus.health()[0].crc_errors >= 1
            rig.links[1].garble = 0.0
            await ears.wait(MeterReading)
    assert {reading.energy_wh for reading in ears.of(MeterReading)} == {1_000_000}


async def test_an_echoing_adapter_is_endured(tmp_path: Path) -> None:
    ears = Ears()
    async with rtu_rig(tmp_path, {1: meter_model()}) as rig:
        rig.line.echo = True
        async with running(owner(tmp_path, ears, meter("grid", 1))):
            assert (await ears.wait(MeterReading)).quality is Quality.GOOD


async def test_a_late_answer_is_not_taken_for_the_answer_of_another_device(tmp_path: Path) -> None:
    ears = Ears()
    models = {1: meter_model(1_000), 2: meter_model(2_000)}
    async with rtu_rig(tmp_path, models) as rig:
        rig.links[1].latency_ms = 200  # answers while the other is being asked
        drivers = [meter(name, unit, interval_ms=0) for name, unit in (("late", 1), ("quick", 2))]
        async with running(owner(tmp_path, ears, *drivers)):
            await ears.wait(LinkChanged, lambda c: not c.up and c.device_id == "late")
    assert {r.energy_wh for r in ears.of(MeterReading) if r.device_id == "quick"} == {2_000}
    assert not [r for r in ears.of(MeterReading) if r.device_id == "late"]


async def test_two_devices_with_one_id_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ears = Ears()
    async with rtu_rig(tmp_path, {1: meter_model()}) as rig:
        ghost = RtuSlave(1, meter_model(5_000), turnaround_s=0.001)
        rig.line.attach(ghost, Link())
        bus = owner(tmp_path, ears, meter("grid", 1, interval_ms=0))
        async with running(bus), asyncio.timeout(5):
            while "two devices" not in caplog.text:
                ears.forget()
                await ears.wait(MeterReading)
        assert bus.health()[0].detail == "two devices answer as unit 1"


async def test_a_device_that_refuses_is_told_apart_from_a_silent_one(tmp_path: Path) -> None:
    ears = Ears()
    bus = owner(tmp_path, ears, meter("grid", 1))
    async with rtu_rig(tmp_path, {1: Registers({}, {})}), running(bus):
        down = await ears.wait(LinkChanged)
    assert not down.up
    assert "refuses registers 0 to 75 with exception 2" in down.detail
    assert "eastron-sdm630" in down.detail


async def test_a_missing_port_is_one_warning_and_works_once_it_appears(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ears = Ears()
    bus = owner(tmp_path, ears, meter("grid", 1))
    with caplog.at_level(logging.DEBUG, "baywatt_edge"):
        async with running(bus) as beats:
            await ears.wait(LinkChanged, lambda c: not c.up)
            async with rtu_rig(tmp_path, {1: meter_model()}):
                await ears.wait(MeterReading)
            gone = len(beats)
            ears.forget()
            await ears.wait(LinkChanged, lambda c: not c.up)
            async with rtu_rig(tmp_path, {1: meter_model()}):
                await ears.wait(LinkChanged, lambda c: c.up)
                ears.forget()
                await ears.wait(MeterReading)
            assert len(beats) > gone
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert "rs485" in warnings[0]
    assert "does not exist: check `port`" in warnings[0]


async def test_meters_behind_a_tcp_gateway(tmp_path: Path) -> None:
    ears = Ears()
    units = {1: GatewayUnit(meter_model(1_000)), 2: GatewayUnit(meter_model(2_000))}
    units[2].link.up = False
    server = ModbusTcpServer(units, timeout_s=0.02)
    port = await server.start("127.0.0.1", 0)
    bus = Bus(id="rs485", kind="modbus-tcp", host="127.0.0.1", tcp_port=port)
    owned = owner(tmp_path, ears, meter("a", 1), meter("b", 2), bus=bus)
    async with running(owned):
        assert (await ears.wait(MeterReading)).energy_wh == 1_000
        down = await ears.wait(LinkChanged, lambda c: not c.up)
        assert down.device_id == "b"
        assert "gateway" in down.detail
        await server.stop()
        await ears.wait(LinkChanged, lambda c: not c.up and c.device_id == "a")
        server = ModbusTcpServer(units, timeout_s=0.02)
        await server.start("127.0.0.1", port)
        ears.forget()
        await ears.wait(MeterReading, lambda r: r.device_id == "a")
    await server.stop()


async def test_a_late_answer_through_tcp_is_dropped_by_its_transaction(tmp_path: Path) -> None:
    ears = Ears()
    unit = GatewayUnit(meter_model())
    unit.link.latency_ms = 90
    server = ModbusTcpServer({1: unit})
    port = await server.start("127.0.0.1", 0)
    bus = Bus(id="rs485", kind="modbus-tcp", host="127.0.0.1", tcp_port=port)
    async with running(owner(tmp_path, ears, meter("a", 1), bus=bus)):
        await ears.wait(LinkChanged, lambda c: not c.up)
        assert not ears.of(MeterReading)
        unit.link.latency_ms = 0
        assert (await ears.wait(MeterReading)).quality is Quality.GOOD
    await server.stop()


async def test_a_peer_that_speaks_something_else_is_an_outage_not_a_crash(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await reader.read(1)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    bus = Bus(id="rs485", kind="modbus-tcp", host="127.0.0.1", tcp_port=port)
    ears = Ears()
    async with running(owner(tmp_path, ears, meter("a", 1), bus=bus)):
        down = await ears.wait(LinkChanged)
    assert not down.up
    assert "does not speak Modbus TCP" in caplog.text
    server.close()
    await server.wait_closed()


async def test_rtu_over_tcp(tmp_path: Path) -> None:
    slave = RtuSlave(1, meter_model(42_000))
    loop = asyncio.get_running_loop()

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1):  # the worst tunnel: byte by byte
            for reply in slave.receive(data, loop.time()):
                for byte in reply.data:
                    writer.write(bytes([byte]))
                    await writer.drain()
        writer.close()

    server = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    bus = Bus(id="rs485", kind="rtu-over-tcp", host="127.0.0.1", tcp_port=port)
    ears = Ears()
    async with running(owner(tmp_path, ears, meter("a", 1), bus=bus)):
        assert (await ears.wait(MeterReading)).energy_wh == 42_000
    server.close()
    await server.wait_closed()


async def test_a_tcp_host_that_does_not_listen_is_one_clear_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bus = Bus(id="rs485", kind="modbus-tcp", host="127.0.0.1", tcp_port=9)
    ears = Ears()
    async with running(owner(tmp_path, ears, meter("a", 1), bus=bus)):
        await ears.wait(LinkChanged)
    (line,) = [record.getMessage() for record in caplog.records]
    assert "tcp://127.0.0.1:9 cannot be reached" in line
    assert "check host, tcp_port and power" in line


async def test_every_frame_passes_the_tap(tmp_path: Path) -> None:
    ears = Ears()
    bus = owner(tmp_path, ears, meter("grid", 1))
    async with rtu_rig(tmp_path, {1: meter_model()}), running(bus):
        await ears.wait(MeterReading)
    captured = list(bus.ring)
    assert captured[0].direction is Direction.OUT
    assert captured[0].data.hex() == "01040000004cf1ff"
    answer = b"".join(each.data for each in captured[1:] if each.direction is Direction.IN)
    assert answer[:3] == bytes([1, 4, 152])
    moments = [each.mono_us for each in captured]
    assert moments == sorted(moments)


def test_the_tap_is_bounded() -> None:
    ring = FrameRing("b", frames=10)
    for number in range(100):
        ring.add(number, Direction.IN, bytes(10_000))
    assert len(ring) == 10
    assert [each.mono_us for each in ring] == list(range(90, 100))
    assert all(len(each.data) == 512 for each in ring)
