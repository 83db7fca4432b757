"""A whole simulated site, built from its site file: world, devices and buses on real transports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from baywatt_contract.site_file import Bus, SiteFile
from baywatt_sim.devices.base import Ticking
from baywatt_sim.devices.board_station import BoardStation
from baywatt_sim.devices.eastron import EastronMeter
from baywatt_sim.devices.heidelberg import HeidelbergWallbox
from baywatt_sim.wire.line import LineCore
from baywatt_sim.wire.link import Link
from baywatt_sim.wire.modbus_tcp import ModbusTcpServer
from baywatt_sim.wire.pty_hub import PtyHub
from baywatt_sim.wire.socketcand import SocketcandHub
from baywatt_sim.world import World

TICK_S = 0.05


class Powered(Protocol):
    """A device that does something special when its supply comes and goes."""

    def power_on(self, now: float) -> None:
        """The supply is back."""

    def power_off(self) -> None:
        """The supply is gone."""


class Counting(Protocol):
    """Whatever counts the requests of a device."""

    requests: int


@dataclass(slots=True)
class SimDevice:
    """One device of the site as the control API handles it."""

    id: str
    link: Link
    counter: Counting
    line: LineCore | None = None
    meter: EastronMeter | None = None
    powered: Powered | None = None


@dataclass(slots=True)
class SimBus:
    """One bus: exactly one of the three transports."""

    bus: Bus
    line: LineCore | None = None
    hub: PtyHub | None = None
    gateway: ModbusTcpServer | None = None
    can: SocketcandHub | None = None


@dataclass(slots=True)
class SimSite:
    """Everything that stands on the simulated site. `start` and `stop` belong to one event loop."""

    file: SiteFile
    world: World
    clock: Callable[[], float]
    devices: dict[str, SimDevice] = field(default_factory=dict)
    buses: dict[str, SimBus] = field(default_factory=dict)
    boards: dict[str, BoardStation] = field(default_factory=dict)
    wallboxes: dict[str, HeidelbergWallbox] = field(default_factory=dict)
    ticking: list[Ticking] = field(default_factory=list)
    _ticker: asyncio.Task[None] | None = None

    def touch(self) -> float:
        """Bring the world to this moment and return it."""
        now = self.clock()
        self.world.advance(now)
        return now

    def tick(self) -> None:
        """Let everything that has a life of its own live until now."""
        now = self.touch()
        for device in self.ticking:
            device.tick(now)
        for bus in self.buses.values():
            if bus.hub is not None:
                bus.hub.wake()

    async def start(self) -> None:
        """Open all ports; raises PortTakenError or OSError with the bus's name."""
        try:
            for each in self.buses.values():
                await _open(each)
        except BaseException:
            await self.stop()
            raise
        self._ticker = asyncio.create_task(self._tick_for_ever())

    async def stop(self) -> None:
        """Close all ports and stop the world."""
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.wait([self._ticker])
            self._ticker = None
        for each in self.buses.values():
            if each.hub is not None:
                each.hub.close()
            for server in (each.gateway, each.can):
                if server is not None:
                    await server.stop()

    async def _tick_for_ever(self) -> None:
        while True:
            self.tick()
            await asyncio.sleep(TICK_S)


async def _open(each: SimBus) -> None:
    if each.hub is not None:
        each.hub.open()
        return
    server = each.gateway or each.can
    host, port = each.bus.host, each.bus.tcp_port
    if server is not None and host is not None and port is not None:
        try:
            await server.start(host, port)
        except OSError as error:
            reason = f"bus {each.bus.id!r} cannot listen on {host}:{port}: {error.strerror}"
            raise OSError(error.errno, reason) from error
