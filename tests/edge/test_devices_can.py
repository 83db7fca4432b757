"""CAN: the module driver in virtual time, and the owner on socketcand and python-can."""

from __future__ import annotations

import asyncio
import logging
import struct
import threading
from pathlib import Path

import can
import pytest
from devices_rig import Ears, TurnedClock, running
from hypothesis import given, settings
from hypothesis import strategies as st

from baywatt_contract.observations import LinkChanged, ModuleObserved
from baywatt_contract.site_file import Bus, Device
from baywatt_edge.clock import SystemClock
from baywatt_edge.devices import infypower as infy
from baywatt_edge.devices.can_bus import CanBus
from baywatt_edge.devices.can_frame import CanFrame
from baywatt_edge.devices.drivers.module import ModuleDriver
from baywatt_edge.devices.profile_library import ProfileLibrary
from baywatt_edge.devices.socketcand import parse_item, send_item
from baywatt_sim.devices.infy import InfyModule
from baywatt_sim.wire.link import Link
from baywatt_sim.wire.socketcand import CanFrame as WireFrame
from baywatt_sim.wire.socketcand import SocketcandHub
from baywatt_sim.world import DcSource

PROFILE = ProfileLibrary().get("infypower")


def module_driver(unit: int = 0) -> ModuleDriver:
    return ModuleDriver(Device(id="dc-1", bus="can", profile="infypower", unit=unit), PROFILE)


def test_the_published_frames() -> None:
    """EVerest InfyPower: request and reply of V/I, capabilities, of module 0."""
    assert infy.read(infy.Command.READ_OUTPUT, 0, 0xF0).can_id == 0x028300F0
    reply = CanFrame(0x0283F000, bytes.fromhex("43FA000040600000"))
    assert infy.answer_from(reply, 0, 0xF0) == infy.Command.READ_OUTPUT
    assert infy.output(reply.data) == infy.Output(500_000, 3500)
    caps = infy.capabilities(bytes.fromhex("01F400C803E803E8"))
    assert caps == infy.Capabilities(500_000, 200_000, 100_000, 10_000)
    status = infy.status(bytes.fromhex("000000021B004000"))
    assert (status.on, status.alarms) == (True, frozenset())


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 0x1FFFFFFF), st.binary(max_size=8), st.booleans())
def test_foreign_frames_change_nothing_and_no_frame_crashes(
    can_id: int, data: bytes, extended: bool
) -> None:
    driver = module_driver(3)
    out = driver.received(CanFrame(can_id, data, extended), TurnedClock().now())
    for_us = can_id & ~(0x3F << 16) == infy.identifier(0, 0xF0, 3)  # type: ignore[arg-type]
    if not (for_us and extended and len(data) == 8):
        assert out == []


@settings(deadline=None, max_examples=60)
@given(st.binary(min_size=8, max_size=8))
def test_any_payload_of_a_module_is_read_or_ignored(data: bytes) -> None:
    driver, now = module_driver(), TurnedClock().now()
    for command in infy.Command:
        driver.received(CanFrame(infy.identifier(command, 0xF0, 0), data), now)
    volts, amperes = struct.unpack(">ff", data)
    plausible = -100 <= volts <= 2000 and -1000 <= amperes <= 1000
    assert (infy.output(data) is not None) == plausible


def test_a_module_that_is_on_is_told_to_be_off() -> None:
    clock, driver = TurnedClock(), module_driver()
    driver.timer(clock.now())
    on = bytes.fromhex("000000021B000000")
    driver.received(CanFrame(infy.identifier(infy.Command.READ_STATUS, 0xF0, 0), on), clock.now())
    off = CanFrame(infy.identifier(infy.Command.READ_OUTPUT, 0xF0, 0), bytes(8))
    (up, seen) = driver.received(off, clock.now())
    assert isinstance(up, LinkChanged)
    assert seen.on
    frames, _ = driver.timer(clock.turn(500))
    assert frames[0] == infy.switch_off(0, 0xF0)


def test_three_misses_and_the_module_is_down() -> None:
    clock, driver = TurnedClock(), module_driver()
    changes = []
    for _ in range(6):
        frames, out = driver.timer(clock.turn(500))
        assert frames, "the questions go on: they keep the module alive and find it again"
        changes += out
    assert [change.up for change in changes if isinstance(change, LinkChanged)] == [False]


def can_bus_table(**change: object) -> Bus:
    values = {"id": "can", "kind": "can", "interface": "socketcand", "channel": "can0"}
    return Bus.model_validate(values | change)


async def test_a_module_on_socketcand_and_the_hub_that_vanishes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub, ears, loop = SocketcandHub(), Ears(), asyncio.get_running_loop()
    link = Link()
    source = DcSource()
    hub.attach(InfyModule(0, source, touch=loop.time, link=link))
    port = await hub.start("127.0.0.1", 0)
    table = can_bus_table(host="127.0.0.1", tcp_port=port)
    bus = CanBus(table, [module_driver()], SystemClock(1), ears, tmp_path)
    with caplog.at_level(logging.INFO, "baywatt_edge"):
        async with running(bus):
            seen = await ears.wait(ModuleObserved)
            assert (seen.device_id, seen.on) == ("dc-1", False)
            assert seen.available_power_w == source.max_w
            assert bus.health()[0].up
            await hub.stop()
            await ears.wait(LinkChanged, lambda c: not c.up)
            await hub.start("127.0.0.1", port)
            ears.forget()
            await ears.wait(ModuleObserved)
    await hub.stop()
    assert [r.levelname for r in caplog.records].count("WARNING") == 1


async def test_a_missing_socketcand_is_one_line_and_no_busy_loop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ears = Ears()
    table = can_bus_table(host="127.0.0.1", tcp_port=9)
    bus = CanBus(table, [module_driver()], SystemClock(1), ears, tmp_path)
    async with running(bus) as beats:
        down = await ears.wait(LinkChanged)
    assert "socketcand at 127.0.0.1:9 cannot be reached" in down.detail
    assert len(beats) <= 3
    assert len(caplog.records) == 1


async def test_a_wrong_channel_is_named(tmp_path: Path) -> None:
    hub, ears = SocketcandHub("can1"), Ears()
    port = await hub.start("127.0.0.1", 0)
    table = can_bus_table(host="127.0.0.1", tcp_port=port)
    bus = CanBus(table, [module_driver()], SystemClock(1), ears, tmp_path)
    async with running(bus):
        down = await ears.wait(LinkChanged)
    await hub.stop()
    assert "check channel 'can0'" in down.detail


async def test_a_module_through_python_can(tmp_path: Path) -> None:
    """Interface `virtual`: the same code path as socketcan and slcan, a thread that receives."""
    ears, loop = Ears(), asyncio.get_running_loop()
    node = InfyModule(0, DcSource(), touch=loop.time, link=Link())
    stop = threading.Event()
    far = can.Bus(interface="virtual", channel="test-devices")

    def serve() -> None:
        while not stop.is_set():
            message = far.recv(0.05)
            if message is None:
                continue
            asked = WireFrame(message.arbitration_id, bytes(message.data))
            for answer in node.on_frame(asked, 0.0):
                far.send(can.Message(arbitration_id=answer.can_id, data=answer.data))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        table = can_bus_table(interface="virtual", channel="test-devices")
        bus = CanBus(table, [module_driver()], SystemClock(1), ears, tmp_path)
        async with running(bus):
            assert not (await ears.wait(ModuleObserved)).on
        assert len(bus.ring) >= 6
    finally:
        stop.set()
        await asyncio.to_thread(thread.join)
        far.shutdown()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 0x1FFFFFFF), st.binary(max_size=8))
def test_socketcand_frames_survive_the_round_trip(can_id: int, data: bytes) -> None:
    frame = CanFrame(can_id, data)
    sent = send_item(frame).decode().strip("<> ").split()
    heard = f"frame {sent[1]} 1.5 {''.join(sent[3:])}"
    assert parse_item(heard) == frame


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=80))
def test_noise_from_socketcand_is_no_frame(text: str) -> None:
    parse_item(text)
    parse_item(f"frame {text}")
