"""The whole harbour site: every driver against its simulated device on its real transport."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from devices_rig import Ears, target

from baywatt_contract.observations import (
    BayObserved,
    BayState,
    ConnectorObserved,
    LinkChanged,
    MeterReading,
    ModuleObserved,
    Pilot,
    Quality,
    ReadMeter,
)
from baywatt_contract.site_file import SiteFile
from baywatt_contract.site_load import load_site_file
from baywatt_edge.clock import SystemClock
from baywatt_edge.devices.house import DeviceHouse
from baywatt_edge.devices.profile_library import ProfileLibrary
from baywatt_sim.site import SimSite
from baywatt_sim.site_build import build_site
from baywatt_sim.vehicle import Vehicle

HARBOUR = Path(__file__).parents[2] / "examples" / "harbour" / "site.toml"
WALLBOX = 3


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def harbour(**devices: str) -> SiteFile:
    """The example site on ports of its own; `devices` changes profiles by device id."""
    site = load_site_file(HARBOUR)
    buses = [
        bus.model_copy(update={"tcp_port": free_port()} if bus.tcp_port else {})
        for bus in site.buses
    ]
    changed = [
        each.model_copy(update={"profile": devices.get(each.id.replace("-", "_"), each.profile)})
        for each in site.devices
    ]
    return site.model_copy(update={"buses": buses, "devices": changed})


@dataclass
class Stage:
    sim: SimSite
    house: DeviceHouse
    ears: Ears
    tasks: list[asyncio.Task[None]]

    async def kill(self) -> None:
        """End the daemon's tasks without a goodbye."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()

    async def grant(self, connector_id: int, **change: object) -> None:
        now_ms = SystemClock(1).now().mono_ms
        self.house.control(target(now_ms, connector_id=connector_id, **change))


@contextlib.asynccontextmanager
async def stage(tmp_path: Path, site: SiteFile, known: SiteFile) -> AsyncIterator[Stage]:
    """The simulated site of `site`, and the house of `known` (normally the same)."""
    loop = asyncio.get_running_loop()
    sim = build_site(site, tmp_path, loop.time, pace=False)
    await sim.start()
    ears = Ears()
    house = DeviceHouse(known, ProfileLibrary(), SystemClock(1), ears, tmp_path)
    tasks = [loop.create_task(task(lambda: None)) for task in house.tasks().values()]
    it = Stage(sim, house, ears, tasks)
    try:
        yield it
        assert not [task for task in tasks if task.done()], "an owner never returns by itself"
    finally:
        await it.kill()
        await sim.stop()


async def test_every_device_of_the_site_is_found_and_read(tmp_path: Path) -> None:
    site = harbour()
    async with stage(tmp_path, site, site) as it:
        for device in site.devices:
            name = device.id
            await it.ears.wait(LinkChanged, lambda c, n=name: c.up and c.device_id == n, 10)
        for meter in ("grid", "meter-1", "meter-2", "meter-3", "meter-4"):
            reading = await it.ears.wait(MeterReading, lambda r, m=meter: r.device_id == m)
            assert reading.quality is Quality.GOOD
            assert 0 < (reading.energy_wh or 0) < 8_000_000
        for bay in ("A1", "A2", "A3", "A4"):
            seen = await it.ears.wait(BayObserved, lambda o, b=bay: o.bay_id == b)
            assert seen.state is BayState.VACANT
        assert not (await it.ears.wait(ModuleObserved)).on
        box = await it.ears.wait(ConnectorObserved, lambda o: o.connector_id == WALLBOX)
        assert (box.pilot, box.contactor_closed) == (Pilot.A, False)
        lines = {line.device_id: line for line in it.house.health()}
    assert set(lines) == {device.id for device in site.devices}
    assert all(line.up for line in lines.values())


def test_there_is_one_task_per_bus(tmp_path: Path) -> None:
    site = harbour()
    house = DeviceHouse(site, ProfileLibrary(), SystemClock(1), Ears(), tmp_path)
    assert list(house.tasks()) == [f"bus:{bus.id}" for bus in site.buses]


async def test_a_car_charges_at_the_wallbox_and_is_throttled_and_stopped(tmp_path: Path) -> None:
    site = harbour()
    async with stage(tmp_path, site, site) as it:
        outlet = it.sim.world.outlets[WALLBOX]

        def box(pilot: Pilot, closed: bool, offered_ma: int) -> object:
            return it.ears.wait(
                ConnectorObserved,
                lambda o: (
                    (o.connector_id, o.pilot, o.contactor_closed, o.offered_ma)
                    == (WALLBOX, pilot, closed, offered_ma)
                ),
                12,
            )

        await it.grant(WALLBOX, permit=False)
        await box(Pilot.A, False, 0)
        outlet.vehicle = Vehicle(max_current_a=16)
        await box(Pilot.B, False, 0)
        await it.grant(WALLBOX, limit_ma=16_000)
        await box(Pilot.C, True, 16_000)
        assert outlet.contactor_closed
        await it.grant(WALLBOX, limit_ma=8_000)
        await box(Pilot.C, True, 8_000)
        assert outlet.offered_a == pytest.approx(8.0)
        it.ears.forget()
        await it.grant(WALLBOX, permit=False)
        await it.ears.wait(
            ConnectorObserved, lambda o: o.connector_id == WALLBOX and not o.contactor_closed, 12
        )
        assert not outlet.contactor_closed
        it.house.read_meter(ReadMeter("meter-3", "end-1"))
        end = await it.ears.wait(MeterReading, lambda r: r.requested_by == "end-1")
        assert end.quality is Quality.GOOD


async def test_a_wallbox_whose_grant_runs_out_falls_to_its_fail_safe(tmp_path: Path) -> None:
    site = harbour()
    async with stage(tmp_path, site, site) as it:
        outlet = it.sim.world.outlets[WALLBOX]
        outlet.vehicle = Vehicle(max_current_a=16)
        expires = SystemClock(1).now().mono_ms + 4000
        await it.grant(WALLBOX, grant_expires_mono_ms=expires)
        await it.ears.wait(ConnectorObserved, lambda o: o.offered_ma == 16_000, 12)
        fallen = await it.ears.wait(ConnectorObserved, lambda o: o.offered_ma == 6_000, 12)
        assert fallen.host_lost
        assert fallen.observed_at.mono_ms - expires <= 1500
        assert outlet.offered_a == pytest.approx(6.0)
        assert outlet.contactor_closed


async def test_a_restart_of_the_daemon_does_not_interrupt_a_charge(tmp_path: Path) -> None:
    site = harbour()
    async with stage(tmp_path, site, site) as it:
        outlet = it.sim.world.outlets[WALLBOX]
        outlet.vehicle = Vehicle(max_current_a=16)
        await it.grant(WALLBOX, limit_ma=11_000)
        await it.ears.wait(
            ConnectorObserved, lambda o: o.offered_ma == 11_000 and o.contactor_closed is True, 12
        )
        sim = it.sim
        ears = Ears()
        again = DeviceHouse(site, ProfileLibrary(), SystemClock(2), ears, tmp_path)
        await it.kill()
        task = asyncio.create_task(again.tasks()["bus:wallbox-line"](lambda: None))
        for _ in range(3):
            seen = await ears.wait(ConnectorObserved)
            assert (seen.contactor_closed, seen.offered_ma) == (True, 11_000)
            assert not seen.host_lost
            ears.forget()
        assert sim.world.outlets[WALLBOX].contactor_closed
        assert sim.world.outlets[WALLBOX].offered_a == pytest.approx(11.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_car_on_a_bay_is_seen(tmp_path: Path) -> None:
    site = harbour()
    async with stage(tmp_path, site, site) as it:
        await it.ears.wait(BayObserved, lambda o: o.bay_id == "A2")
        it.sim.world.bays["A2"] = True
        seen = await it.ears.wait(BayObserved, lambda o: o.state is BayState.OCCUPIED)
        assert seen.bay_id == "A2"


async def test_a_device_with_an_unknown_profile_costs_nobody_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = harbour()
    broken = harbour(meter_2="eastron-sdm999").model_copy(update={"buses": site.buses})
    async with stage(tmp_path, site, broken) as it:
        await it.ears.wait(MeterReading, lambda r: r.device_id == "meter-3")
        it.house.read_meter(ReadMeter("meter-2", "begin-1"))
        answer = await it.ears.wait(MeterReading, lambda r: r.requested_by == "begin-1")
        assert answer.quality is Quality.INVALID
        line = next(line for line in it.house.health() if line.device_id == "meter-2")
    assert not line.up
    assert "no profile 'eastron-sdm999'" in line.detail
    assert "device 'meter-2'" in caplog.text


async def test_a_bus_of_a_kind_that_cannot_be_owned_stays_idle(tmp_path: Path) -> None:
    site = harbour()
    buses = [
        bus.model_copy(update={"kind": "modbus-ascii"}) if bus.id == "wallbox-line" else bus
        for bus in site.buses
    ]
    house = DeviceHouse(
        site.model_copy(update={"buses": buses}), ProfileLibrary(), SystemClock(1), Ears(), tmp_path
    )
    line = next(line for line in house.health() if line.device_id == "wallbox")
    assert "modbus-ascii is not supported yet" in line.detail
    house.control(target(0, connector_id=WALLBOX))
