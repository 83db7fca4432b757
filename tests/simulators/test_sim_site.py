"""The whole simulated site on its real transports, used by ordinary clients."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import can
import pytest
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from baywatt_bridge.host import HostLink, Target
from baywatt_bridge.host_events import CardSwiped, Connected, Event
from baywatt_bridge.messages import ParameterBlock
from baywatt_contract.site_load import parse_site_file
from baywatt_sim.devices.infy import CONTROLLER, ONE, Command, InfyId
from baywatt_sim.site_build import build_site
from baywatt_sim.site_errors import UnsupportedSiteError

if TYPE_CHECKING:
    from simulators.conftest import Harbour


class Host:
    """A controller at the far end of a board's line."""

    def __init__(self, port: Path) -> None:
        self.loop = asyncio.get_running_loop()
        self.link = HostLink(7, ParameterBlock(), self.now_ms)
        self.events: list[Event] = []
        self.file = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self.loop.add_reader(self.file, self.on_readable)
        self.turns = asyncio.create_task(self.turn())

    @property
    def now_ms(self) -> int:
        return int(self.loop.time() * 1000)

    def on_readable(self) -> None:
        self.events += self.link.receive_data(os.read(self.file, 4096), self.now_ms)

    async def turn(self) -> None:
        while True:
            data = self.link.data_to_send(self.now_ms)
            if data:
                os.write(self.file, data)
            await asyncio.sleep(0.02)

    async def until(self, seen: Callable[[Event], bool]) -> Event:
        async with asyncio.timeout(20):
            while True:
                for event in self.events:
                    if seen(event):
                        return event
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        self.turns.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.turns
        self.loop.remove_reader(self.file)
        os.close(self.file)


@pytest.fixture
async def host(harbour: Harbour) -> AsyncIterator[Host]:
    # A raw descriptor has no speed of its own; the boards are not to mind.
    for bus in ("board-line-1", "board-line-2"):
        hub = harbour.site.buses[bus].hub
        assert hub is not None
        hub.check_baudrate = False
    made = Host(harbour.port("board-line-1"))
    await made.until(lambda event: isinstance(event, Connected))
    yield made
    await made.close()


@pytest.fixture
async def meters(harbour: Harbour) -> AsyncIterator[AsyncModbusSerialClient]:
    asking = AsyncModbusSerialClient(
        str(harbour.port("meters")), baudrate=19_200, timeout=1.5, retries=0
    )
    assert await asking.connect()
    yield asking
    asking.close()


async def floats(asking: AsyncModbusSerialClient, unit: int, at: int, count: int) -> list[float]:
    answer = await asking.read_input_registers(at, count=2 * count, device_id=unit)
    packed = struct.pack(f">{2 * count}H", *answer.registers)
    return list(struct.unpack(f">{count}f", packed))


async def energy_wh(asking: AsyncModbusSerialClient, unit: int) -> int:
    return round((await floats(asking, unit, 0x48, 1))[0] * 1000)


async def test_the_site_stands_idle_after_its_start(harbour: Harbour) -> None:
    state = await harbour.sim.state()
    assert set(state.connectors) == {1, 2, 3, 4}
    assert set(state.bays) == {"A1", "A2", "A3", "A4"}
    assert len(state.devices) == 13
    assert all(each.up for each in state.devices.values())
    for each in state.connectors.values():
        assert not each.plugged
        assert not each.contactor_closed
        assert each.energy_wh == 0
        assert each.soc is None
    assert state.supply.current_a == (0, 0, 0)


async def test_a_charge_from_plug_to_receipt(
    harbour: Harbour, host: Host, meters: AsyncModbusSerialClient
) -> None:
    """Begin is read before the contactor closes, end after it is open: exact to one register."""
    sim = harbour.sim
    await sim.supply((10, 5, 0))
    begin = await energy_wh(meters, 12)
    await sim.plug(2, max_current_a=16, soc=0.5)
    host.link.set_target(Target(2, permit=True, limit_ma=32_000))
    state = await sim.until(lambda s: s.connectors[2].current_a[0] == 16, what="full current")
    connector = state.connectors[2]
    assert connector.cp == "C"
    assert connector.contactor_closed
    assert connector.locked
    assert connector.offered_a == 32
    assert state.supply.current_a == (26, 21, 16)
    assert await floats(meters, 1, 6, 3) == [26, 21, 16]
    assert await floats(meters, 12, 6, 3) == [16, 16, 16]
    host.link.set_target(Target(2, permit=True, limit_ma=6_000))
    await sim.until(lambda s: s.connectors[2].current_a[0] == 6, what="less")
    await sim.until(lambda s: s.connectors[2].energy_wh > 4, what="4 Wh")
    host.link.set_target(Target(2, permit=False, limit_ma=0))
    state = await sim.until(lambda s: not s.connectors[2].contactor_closed, what="open")
    counted = await energy_wh(meters, 12) - begin
    later = await sim.state()
    assert later.connectors[2].energy_wh == state.connectors[2].energy_wh
    assert abs(counted - later.connectors[2].energy_wh) <= 1
    await sim.unplug(2)
    state = await sim.state()
    assert state.connectors[2].cp == "A"
    assert not state.connectors[2].locked


async def test_a_card_reaches_the_host(harbour: Harbour, host: Host) -> None:
    await harbour.sim.swipe(1, "04A1B2C3")
    event = await host.until(lambda each: isinstance(each, CardSwiped))
    assert isinstance(event, CardSwiped)
    assert (event.channel, event.uid) == (1, bytes.fromhex("04A1B2C3"))


async def test_a_fault_opens_the_contactor_at_once(harbour: Harbour, host: Host) -> None:
    sim = harbour.sim
    await sim.plug(1)
    host.link.set_target(Target(1, permit=True, limit_ma=16_000))
    await sim.until(lambda s: s.connectors[1].contactor_closed, what="closed")
    await sim.fault(1, "residual-current")
    state = await sim.state()
    assert not state.connectors[1].contactor_closed
    assert state.connectors[1].cp == "F"
    assert state.connectors[1].faults == ["residual-current"]
    await sim.fault(1, "residual-current", active=False)
    assert (await sim.state()).connectors[1].cp == "F"  # it latches


async def test_a_board_without_supply_opens_and_boots_again(harbour: Harbour, host: Host) -> None:
    sim = harbour.sim
    await sim.plug(1)
    host.link.set_target(Target(1, permit=True, limit_ma=16_000))
    await sim.until(lambda s: s.connectors[1].contactor_closed, what="closed")
    await sim.power("board-1", on=False)
    state = await sim.state()
    assert not state.connectors[1].contactor_closed
    assert not state.devices["board-1"].up
    await sim.power("board-1", on=True)
    await sim.until(lambda s: s.connectors[1].contactor_closed, what="closed again")


async def test_the_wallbox_charges_by_its_registers(harbour: Harbour) -> None:
    asking = AsyncModbusSerialClient(
        str(harbour.port("wallbox-line")), baudrate=19_200, timeout=1.5, retries=0
    )
    assert await asking.connect()
    await harbour.sim.plug(3, max_current_a=16)
    assert not (await asking.write_registers(261, [100], device_id=1)).isError()
    state = await harbour.sim.until(lambda s: s.connectors[3].current_a[0] == 10, what="10 A")
    assert state.supply.current_a == (10, 10, 10)
    answer = await asking.read_input_registers(5, count=8, device_id=1)
    assert answer.registers[:4] == [7, 100, 100, 100]
    asking.close()


async def test_bays_show_behind_the_gateway(harbour: Harbour) -> None:
    asking = AsyncModbusTcpClient(
        "127.0.0.1", port=harbour.tcp_port("bay-gateway"), timeout=1, retries=0
    )
    assert await asking.connect()
    await harbour.sim.bay("A2", occupied=True)
    distances = [
        (await asking.read_holding_registers(5, count=1, device_id=unit)).registers[0]
        for unit in (1, 2, 3, 4)
    ]
    assert [each < 100 for each in distances] == [False, True, False, False]
    asking.close()


async def test_the_dc_module_answers_on_can(harbour: Harbour) -> None:
    logging.getLogger("can.interfaces.socketcand").setLevel(logging.ERROR)
    port = harbour.tcp_port("dc-can")

    def ask() -> can.Message | None:
        asked = InfyId(ONE, Command.STATUS, 0, CONTROLLER).pack()
        with can.Bus(interface="socketcand", host="127.0.0.1", port=port, channel="can0") as bus:
            for _ in range(50):
                bus.send(can.Message(arbitration_id=asked, data=bytes(8), is_extended_id=True))
                answer = bus.recv(0.1)
                if answer is not None:
                    return answer
        return None

    answer = await asyncio.to_thread(ask)
    assert answer is not None
    assert answer.arbitration_id == 0x0284F000
    assert answer.data[6] & 1  # off


async def test_a_cut_meter_is_silent_and_the_others_answer(
    harbour: Harbour, meters: AsyncModbusSerialClient
) -> None:
    await harbour.sim.link("meter-1", up=False)
    with pytest.raises(ModbusIOException):
        await floats(meters, 11, 0, 1)
    assert (await floats(meters, 12, 0, 1))[0] > 200
    await harbour.sim.link("meter-1", up=True)
    assert (await floats(meters, 11, 0, 1))[0] > 200
    devices = (await harbour.sim.state()).devices
    asked = [devices[key].requests for key in ("grid", "meter-1", "meter-2")]
    assert asked == [0, 1, 1]


async def test_words_and_transformers_can_be_wrong(
    harbour: Harbour, meters: AsyncModbusSerialClient
) -> None:
    await harbour.sim.link("grid", swap_words=True)
    assert not 200 < (await floats(meters, 1, 0, 1))[0] < 260
    await harbour.sim.link("grid", swap_words=False, reverse_ct=[2])
    await harbour.sim.supply((10, 10, 10))
    powers = await floats(meters, 1, 0x0C, 3)
    assert [power > 0 for power in powers] == [True, False, True]
    currents = await floats(meters, 1, 6, 3)
    assert currents == [10, 10, 10]


async def test_a_profile_without_a_simulated_device_is_named(
    harbour_text: str, tmp_path: Path
) -> None:
    text = harbour_text.replace("eastron-sdm630", "abb-b23")
    with pytest.raises(UnsupportedSiteError, match="device 'grid': profile 'abb-b23'"):
        build_site(parse_site_file(text, "x"), tmp_path, lambda: 0.0, pace=False)
