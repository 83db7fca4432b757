"""All buses of a site: builds an owner for each and sends every request to the right one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from baywatt_contract.house import Beat, Clock, Task
from baywatt_contract.observations import (
    ControlTarget,
    DeviceHealth,
    MeterReading,
    Observation,
    Quality,
    ReadMeter,
)
from baywatt_contract.site_file import Bus, BusKind, Connector, Device, SiteFile
from baywatt_edge.devices.board import BoardBus
from baywatt_edge.devices.can_bus import CanBus
from baywatt_edge.devices.drivers.bay import BayDriver
from baywatt_edge.devices.drivers.meter import MeterDriver
from baywatt_edge.devices.drivers.module import ModuleDriver
from baywatt_edge.devices.drivers.wallbox import WallboxDriver
from baywatt_edge.devices.errors import BusSetupError, DevicesError, ProfileError
from baywatt_edge.devices.modbus_bus import ModbusBus
from baywatt_edge.devices.modbus_open import MODBUS_KINDS
from baywatt_edge.devices.owner import BusOwner, ModbusDriver
from baywatt_edge.devices.profile import Kind
from baywatt_edge.devices.profile_library import ProfileLibrary

log = logging.getLogger(__name__)

Emit = Callable[[Observation], None]
T = TypeVar("T")


class DeviceHouse:
    """The devices of a site. `root` is the site file's folder: relative ports start there.

    A device without a usable profile, or a bus of a kind that cannot be owned, is warned about and
    shown in `health`; all others work. A bus that cannot be opened is retried for ever.
    """

    def __init__(
        self, site: SiteFile, profiles: ProfileLibrary, clock: Clock, emit: Emit, root: Path
    ) -> None:
        self._site = site
        self._profiles = profiles
        self._clock = clock
        self._emit = emit
        self._root = root
        self._unusable: dict[str, str] = {}
        self._owners: dict[str, BusOwner] = {bus.id: self._owner(bus) for bus in site.buses}

    def owner(self, bus_id: str) -> BusOwner:
        """The owner of a bus; raises KeyError."""
        return self._owners[bus_id]

    def tasks(self) -> dict[str, Task]:
        """One supervised task per bus, named `bus:ID`."""
        return {f"bus:{bus_id}": owner.run for bus_id, owner in self._owners.items()}

    def control(self, target: ControlTarget) -> None:
        """Tell whoever controls the connector; raises KeyError for an unknown connector."""
        device = self._site.device(self._site.connector(target.connector_id).control)
        self._owners[device.bus].control(target)

    def read_meter(self, request: ReadMeter) -> None:
        """Read a meter out of turn; raises KeyError for an unknown device.

        A device without a driver is answered at once: with an invalid reading.
        """
        device = self._site.device(request.device_id)
        if device.id in self._unusable:
            now = self._clock.now()
            self._emit(MeterReading(device.id, now, {}, Quality.INVALID, request.tag))
        else:
            self._owners[device.bus].read_meter(request)

    def health(self) -> list[DeviceHealth]:
        """One line per device, in the order of the buses; unusable ones last."""
        lines = [line for owner in self._owners.values() for line in owner.health()]
        for device_id, why in self._unusable.items():
            device = self._site.device(device_id)
            lines.append(DeviceHealth(device_id, device.bus, device.profile, up=False, detail=why))
        return lines

    def _owner(self, bus: Bus) -> BusOwner:
        devices = [device for device in self._site.devices if device.bus == bus.id]
        try:
            return self._make(bus, devices)
        except DevicesError as error:
            for device in devices:
                self._unusable[device.id] = str(error)
            log.warning("bus %s stays idle: %s", bus.id, error)
            return IdleBus(bus)

    def _make(self, bus: Bus, devices: Sequence[Device]) -> BusOwner:
        if bus.kind in MODBUS_KINDS:
            drivers = self._usable(devices, self._modbus_driver)
            return ModbusBus(bus, drivers, self._clock, self._emit, self._root)
        if bus.kind is BusKind.CAN:
            modules = self._usable(devices, self._module_driver)
            return CanBus(bus, modules, self._clock, self._emit, self._root)
        if bus.kind is BusKind.SERIAL:
            return self._board(bus, devices)
        raise BusSetupError(f"kind {bus.kind} is not supported yet")

    def _usable(self, devices: Sequence[Device], make: Callable[[Device], T]) -> list[T]:
        """The drivers of all devices that can have one; the others are warned about."""
        drivers = []
        for device in devices:
            try:
                drivers.append(make(device))
            except DevicesError as error:
                self._unusable[device.id] = str(error)
                log.warning("device %s stays idle: %s", device.id, error)
        return drivers

    def _module_driver(self, device: Device) -> ModuleDriver:
        return ModuleDriver(device, self._profiles.get(device.profile, device.id))

    def _board(self, bus: Bus, devices: Sequence[Device]) -> BusOwner:
        if len(devices) != 1:
            raise ProfileError(f"a serial bus carries one board, not {len(devices)} devices")
        device = devices[0]
        profile = self._profiles.get(device.profile, device.id)
        if profile.kind is not Kind.BOARD:
            raise ProfileError(f"device {device.id!r}: {profile.id} is no board; use a modbus bus")
        fail_safe_ma = self._site.supply.fail_safe_a * 1000
        return BoardBus(
            bus,
            device,
            self._connectors_of(device),
            fail_safe_ma,
            self._clock,
            self._emit,
            self._root,
        )

    def _modbus_driver(self, device: Device) -> ModbusDriver:
        profile = self._profiles.get(device.profile, device.id)
        if profile.kind is Kind.METER:
            return MeterDriver(device, profile)
        if profile.kind is Kind.BAY_SENSOR:
            bays = [bay.id for bay in self._site.bays if bay.sensor == device.id]
            return BayDriver(device, profile, bays)
        if profile.kind is Kind.WALLBOX:
            connectors = self._connectors_of(device)
            if len(connectors) != 1:
                raise ProfileError(
                    f"device {device.id!r}: controls {len(connectors)} connectors, not 1"
                )
            fail_safe_ma = self._site.supply.fail_safe_a * 1000
            return WallboxDriver(device, profile, connectors[0], fail_safe_ma)
        raise ProfileError(
            f"device {device.id!r}: a {profile.kind} does not belong on a Modbus bus"
        )

    def _connectors_of(self, device: Device) -> list[Connector]:
        return [each for each in self._site.connectors if each.control == device.id]


class IdleBus:
    """Stands in for a bus that cannot be owned, so that everything else works."""

    def __init__(self, bus: Bus) -> None:
        self.bus_id = bus.id

    async def run(self, beat: Beat) -> None:
        """Beat and do nothing."""
        while True:
            beat()
            await asyncio.sleep(0.5)

    def control(self, target: ControlTarget) -> None:
        """Nobody to tell."""

    def read_meter(self, request: ReadMeter) -> None:
        """Nothing to read."""

    def health(self) -> list[DeviceHealth]:
        """The house knows why its devices are down."""
        return []
