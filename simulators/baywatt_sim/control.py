"""What people and mishaps can do to a simulated site, and what the site looks like.

Everything happens at this moment: the world is brought up to date first, the devices see the change
before the call returns. Raises NoSuchThingError and RefusedError.
"""

from __future__ import annotations

from typing import Any, TypeVar

from baywatt_contract.observations import FaultCode
from baywatt_contract.site_file import Connector
from baywatt_sim import control_bodies as bodies
from baywatt_sim.devices.board_station import BoardStation
from baywatt_sim.site import SimDevice, SimSite
from baywatt_sim.site_errors import NoSuchThingError, RefusedError
from baywatt_sim.vehicle import Vehicle
from baywatt_sim.world import Outlet

K = TypeVar("K")
V = TypeVar("V")


class Control:
    """The hands on a site."""

    def __init__(self, site: SimSite) -> None:
        self.site = site

    def state(self) -> dict[str, Any]:
        """The physical truth (interfaces.md, section 4)."""
        self.site.tick()
        world = self.site.world
        return {
            "time_s": round(world.now - world.started, 3),
            "connectors": {str(key): _outlet(each) for key, each in world.outlets.items()},
            "bays": {key: {"occupied": occupied} for key, occupied in world.bays.items()},
            "devices": {
                key: {"up": each.link.up and each.link.power, "requests": each.counter.requests}
                for key, each in self.site.devices.items()
            },
            "supply": {"current_a": [round(each, 3) for each in world.supply_current_a]},
        }

    def plug(self, connector_id: int, body: bodies.Plug) -> None:
        """A car is connected."""
        connector, outlet = self._connector(connector_id)
        if outlet.vehicle is not None:
            raise RefusedError(f"connector {connector_id} has a car already", "unplug it first")
        self.site.touch()
        outlet.vehicle = Vehicle(
            capacity_wh=body.capacity_wh,
            soc=body.soc,
            max_current_a=body.max_current_a,
            phases=body.phases,
            ready=body.ready,
            iso15118=body.iso15118,
        )
        board = self.site.boards.get(connector.control)
        if board is not None:
            board.board.set_cable(connector.control_channel, body.cable_a * 1000)
        self.site.tick()

    def unplug(self, connector_id: int, _body: bodies.Nothing) -> None:
        """The driver pulls the plug at the car, which lets go of the current at once."""
        _, outlet = self._connector(connector_id)
        if outlet.vehicle is None:
            raise RefusedError(f"connector {connector_id} has no car", "plug one in first")
        self.site.touch()
        outlet.vehicle = None
        outlet.current_a, outlet.power_w = [0.0, 0.0, 0.0], 0.0
        self.site.tick()

    def vehicle(self, connector_id: int, body: bodies.VehicleWish) -> None:
        """The car changes its mind."""
        _, outlet = self._connector(connector_id)
        if outlet.vehicle is None:
            raise RefusedError(f"connector {connector_id} has no car", "plug one in first")
        self.site.touch()
        if body.ready is not None:
            outlet.vehicle.ready = body.ready
        if body.max_current_a is not None:
            outlet.vehicle.max_current_a = body.max_current_a
        self.site.tick()

    def swipe(self, connector_id: int, body: bodies.Swipe) -> None:
        """A card is held to the connector's reader."""
        connector, board = self._board(connector_id, "card reader")
        board.swipe(connector.control_channel, bytes.fromhex(body.token))
        self.site.tick()

    def fault(self, connector_id: int, body: bodies.FaultBody) -> None:
        """A fault comes or goes."""
        connector, outlet = self._connector(connector_id)
        board = self.site.boards.get(connector.control)
        if board is not None:
            board.set_fault(connector.control_channel, FaultCode(body.fault), body.active)
        else:
            (outlet.faults.add if body.active else outlet.faults.discard)(body.fault)
        self.site.tick()

    def bay(self, bay_id: str, body: bodies.BayBody) -> None:
        """A car drives in or out."""
        _find(self.site.world.bays, bay_id, "bay")
        self.site.world.bays[bay_id] = body.occupied

    def link(self, device_id: str, body: bodies.LinkBody) -> None:
        """Break or mend a device's connection. Refused as a whole if one part cannot be done."""
        device = _find(self.site.devices, device_id, "device")
        given = body.model_dump(exclude_none=True)
        self._check_link(device, given)
        for name in ("swap_words", "reverse_ct"):
            if name in given and device.meter is not None:
                value = given.pop(name)
                setattr(device.meter, name, frozenset(value) if name == "reverse_ct" else value)
        if "echo" in given and device.line is not None:
            device.line.echo = given.pop("echo")
        for name, value in given.items():
            setattr(device.link, name, value)

    def power(self, device_id: str, body: bodies.PowerBody) -> None:
        """Switch a device's supply; coming back is a restart."""
        device = _find(self.site.devices, device_id, "device")
        if device.link.power == body.on:
            return
        device.link.power = body.on
        now = self.site.touch()
        if device.powered is not None and body.on:
            device.powered.power_on(now)
        elif device.powered is not None:
            device.powered.power_off()
        self.site.tick()

    def supply(self, body: bodies.SupplyBody) -> None:
        """The rest of the building draws something else."""
        self.site.touch()
        self.site.world.other_load_a = list(body.other_load_a)

    def time(self, body: bodies.TimeBody) -> None:
        """Let batteries fill faster than real; power and energy stay true."""
        self.site.touch()
        self.site.world.battery_speed = body.speed

    def _check_link(self, device: SimDevice, given: dict[str, Any]) -> None:
        for name in ("swap_words", "reverse_ct"):
            if name in given and device.meter is None:
                raise RefusedError(f"{device.id!r} is no meter", f"leave {name} out")
        if "echo" in given and device.line is None:
            raise RefusedError(f"{device.id!r} is not on a serial line", "leave echo out")

    def _connector(self, connector_id: int) -> tuple[Connector, Outlet]:
        outlet = _find(self.site.world.outlets, connector_id, "connector")
        return self.site.file.connector(connector_id), outlet

    def _board(self, connector_id: int, what: str) -> tuple[Connector, BoardStation]:
        connector, _ = self._connector(connector_id)
        board = self.site.boards.get(connector.control)
        if board is None:
            raise RefusedError(
                f"connector {connector_id} has no {what}", "use one controlled by a safety board"
            )
        return connector, board


def _find(things: dict[K, V], key: K, kind: str) -> V:
    if key not in things:
        known = ", ".join(str(each) for each in things) or "none"
        raise NoSuchThingError(f"no {kind} {key}", f"one of: {known}")
    return things[key]


def _outlet(outlet: Outlet) -> dict[str, Any]:
    car = outlet.vehicle
    return {
        "cp": (outlet.shown or outlet.pilot).value,
        "plugged": car is not None,
        "contactor_closed": outlet.contactor_closed,
        "locked": outlet.locked,
        "energy_wh": outlet.energy_wh,
        "power_w": round(outlet.power_w, 1),
        "current_a": [round(each, 3) for each in outlet.current_a],
        "offered_a": outlet.offered_a,
        "soc": None if car is None else car.soc,
        "faults": sorted(outlet.faults),
    }
