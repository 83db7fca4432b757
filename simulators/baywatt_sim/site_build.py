"""From a site file to a simulated site: which profile becomes which device on which bus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from baywatt_contract.site_file import Bus, BusKind, Connector, Device, SiteFile
from baywatt_sim.board import SimulatedBoard
from baywatt_sim.devices.base import serial_of
from baywatt_sim.devices.board_station import BoardStation
from baywatt_sim.devices.eastron import EastronMeter, Measured
from baywatt_sim.devices.heidelberg import MIN_GAP_S, HeidelbergWallbox
from baywatt_sim.devices.infy import InfyModule
from baywatt_sim.devices.urm14 import Urm14
from baywatt_sim.site import SimBus, SimDevice, SimSite
from baywatt_sim.site_errors import UnsupportedSiteError
from baywatt_sim.wire.line import LineCore, Pace
from baywatt_sim.wire.link import Link
from baywatt_sim.wire.modbus_tcp import GatewayUnit, ModbusTcpServer
from baywatt_sim.wire.pdu import RegisterModel
from baywatt_sim.wire.pty_hub import PtyHub
from baywatt_sim.wire.rtu_slave import RtuSlave
from baywatt_sim.wire.socketcand import SocketcandHub
from baywatt_sim.world import DcSource, Outlet, World


def build_site(file: SiteFile, root: Path, clock: Callable[[], float], *, pace: bool) -> SimSite:
    """The site of a site file; relative ports are below `root`. Nothing is opened yet.

    Raises UnsupportedSiteError for a profile or bus that has no simulated counterpart.
    """
    outlets = [
        Outlet(each.id, tuple(each.phases), [DcSource() for _ in each.power_modules])
        for each in file.connectors
    ]
    world = World(outlets, [bay.id for bay in file.bays], clock())
    site = SimSite(file, world, clock)
    for bus in file.buses:
        site.buses[bus.id] = _bus(bus, root, pace=pace)
    for device in file.devices:
        _BUILDERS.get(device.profile, _unknown)(site, device)
    return site


def _bus(bus: Bus, root: Path, *, pace: bool) -> SimBus:
    if bus.kind in (BusKind.MODBUS_RTU, BusKind.SERIAL):
        duplex = bus.kind is BusKind.SERIAL
        speed = Pace(bus.baudrate, 10 if duplex else 11) if pace else None
        line = LineCore(pace=speed, duplex=duplex)
        return SimBus(bus, line=line, hub=PtyHub(root / (bus.port or bus.id), line))
    if bus.kind is BusKind.MODBUS_TCP:
        return SimBus(bus, gateway=ModbusTcpServer({}))
    if bus.kind is BusKind.CAN and bus.interface == "socketcand":
        return SimBus(bus, can=SocketcandHub(bus.channel or "can0"))
    raise UnsupportedSiteError(
        f"bus {bus.id!r}: kind {bus.kind} (interface {bus.interface}) has no simulated counterpart",
        "use modbus-rtu, modbus-tcp, serial, or can with the interface socketcand",
    )


def _unknown(_site: SimSite, device: Device) -> None:
    raise UnsupportedSiteError(
        f"device {device.id!r}: profile {device.profile!r} has no simulated counterpart",
        f"use one of {', '.join(sorted(_BUILDERS))}",
    )


def _attach(site: SimSite, device: Device, model: RegisterModel, *, gap_s: float = 0) -> SimDevice:
    """Put a register model on its Modbus bus, whatever kind that is."""
    each = site.buses[device.bus]
    link = Link(baudrate=each.bus.baudrate)
    if each.line is not None and each.bus.kind is BusKind.MODBUS_RTU:
        slave = RtuSlave(device.unit, model, min_gap_s=gap_s)
        each.line.attach(slave, link)
        made = SimDevice(device.id, link, slave, line=each.line)
    elif each.gateway is not None:
        unit = GatewayUnit(model, link, each.bus.baudrate)
        each.gateway.units[device.unit] = unit
        made = SimDevice(device.id, link, unit)
    else:
        raise UnsupportedSiteError(
            f"device {device.id!r} speaks Modbus, its bus {device.bus!r} is {each.bus.kind}",
            "put it on a modbus-rtu or modbus-tcp bus",
        )
    site.devices[device.id] = made
    return made


def _controlled(site: SimSite, device: Device) -> list[Connector]:
    found = [each for each in site.file.connectors if each.control == device.id]
    if not found:
        raise UnsupportedSiteError(
            f"device {device.id!r} controls no connector",
            f'write `control = "{device.id}"` into a [[connectors]] table',
        )
    return found


def _meter(site: SimSite, device: Device) -> None:
    meter = EastronMeter(
        device.id, device.profile, measure=_measure_for(site, device.id), touch=site.touch
    )
    made = _attach(site, device, meter)
    meter.connect(made.link, made.counter if isinstance(made.counter, RtuSlave) else None)
    made.meter = meter


def _measure_for(site: SimSite, device_id: str) -> Callable[[], Measured]:
    world = site.world
    for each in site.file.connectors:
        if each.meter == device_id:
            outlet = world.outlets[each.id]
            return lambda: Measured(world.voltage_v(outlet), outlet.current_a, outlet.phase_wh)
    if site.file.supply.meter == device_id:
        return lambda: Measured(world.supply_voltage_v, world.supply_current_a, world.supply_wh)
    return lambda: Measured(world.supply_voltage_v, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))


def _wallbox(site: SimSite, device: Device) -> None:
    connector = _controlled(site, device)[0]
    box = HeidelbergWallbox(site.world.outlets[connector.id], site.world, site.touch)
    _attach(site, device, box, gap_s=MIN_GAP_S).powered = box
    site.wallboxes[device.id] = box
    site.ticking.append(box)


def _bay_sensor(site: SimSite, device: Device) -> None:
    bays = [bay.id for bay in site.file.bays if bay.sensor == device.id]
    occupied = site.world.bays
    sensor = Urm14(lambda: any(occupied[bay] for bay in bays), site.touch, device.unit)
    _attach(site, device, sensor)


def _board(site: SimSite, device: Device) -> None:
    each = site.buses[device.bus]
    if each.line is None or each.bus.kind is not BusKind.SERIAL:
        raise UnsupportedSiteError(
            f"device {device.id!r} is a safety board, its bus {device.bus!r} is {each.bus.kind}",
            "put it on a bus of its own of kind serial",
        )
    connectors = _controlled(site, device)
    serial = f"SIM-{serial_of(device.id)}"
    now_ms = int(site.clock() * 1000)
    board = SimulatedBoard.for_connectors(connectors, serial, now_ms)
    outlets = {each.control_channel: site.world.outlets[each.id] for each in connectors}
    station = BoardStation(board, outlets, site.world, site.touch)
    link = Link(baudrate=each.bus.baudrate)
    each.line.attach(station, link)
    site.boards[device.id] = station
    site.ticking.append(station)
    site.devices[device.id] = SimDevice(device.id, link, station, line=each.line, powered=station)


def _module(site: SimSite, device: Device) -> None:
    each = site.buses[device.bus]
    if each.can is None:
        raise UnsupportedSiteError(
            f"device {device.id!r} speaks CAN, its bus {device.bus!r} is {each.bus.kind}",
            "put it on a bus of kind can",
        )
    link = Link(baudrate=each.bus.bitrate)
    source = _source_for(site, device.id)
    module = InfyModule(device.unit, source, touch=site.touch, link=link, bitrate=each.bus.bitrate)
    each.can.attach(module)
    site.ticking.append(module)
    site.devices[device.id] = SimDevice(device.id, link, module, powered=module)


def _source_for(site: SimSite, device_id: str) -> DcSource:
    """The module's output at the connector that names it; a spare one feeds nothing."""
    for each in site.file.connectors:
        if device_id in each.power_modules:
            index = each.power_modules.index(device_id)
            return site.world.outlets[each.id].sources[index]
    return DcSource()


_BUILDERS: dict[str, Callable[[SimSite, Device], None]] = {
    "eastron-sdm630": _meter,
    "eastron-sdm72d-v2": _meter,
    "heidelberg-energy-control": _wallbox,
    "baywatt-board": _board,
    "dfrobot-urm14": _bay_sensor,
    "infypower": _module,
}
