"""What the house of devices knows of a bus owner, and what an owner knows of a driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from baywatt_contract.clock import Instant
from baywatt_contract.house import Beat
from baywatt_contract.observations import ControlTarget, DeviceHealth, Observation, ReadMeter
from baywatt_edge.devices.modbus_frames import Request
from baywatt_edge.devices.profile import Profile
from baywatt_edge.devices.schedule import Want


class BusOwner(Protocol):
    """The one task that speaks on a bus."""

    bus_id: str

    async def run(self, beat: Beat) -> None:
        """Supervised: never returns by itself, reopens with back-off, one WARNING per outage."""
        ...

    def control(self, target: ControlTarget) -> None:
        """Newest target of a connector wins; never blocks; foreign connectors are ignored."""
        ...

    def read_meter(self, request: ReadMeter) -> None:
        """Read out of turn; never blocks; foreign devices are ignored."""
        ...

    def health(self) -> list[DeviceHealth]:
        """One line per device."""
        ...


class ModbusDriver(Protocol):
    """A device as a pure state machine; the owner moves the bytes and tells the time."""

    device_id: str
    unit: int
    profile: Profile

    @property
    def up(self) -> bool:
        """Whether the device answers."""
        ...

    @property
    def detail(self) -> str:
        """One line about the link, "" when all is well."""
        ...

    @property
    def last(self) -> Mapping[str, int | str]:
        """The last values, for people."""
        ...

    def want(self, now: Instant) -> Want | None:
        """When and how urgently it wants the bus; None while it must not speak at all."""
        ...

    def request(self, now: Instant) -> Request:
        """The request that leaves at this moment."""
        ...

    def answered(self, words: tuple[int, ...], now: Instant) -> Sequence[Observation]:
        """The answer to the last request."""
        ...

    def refused(self, code: int, now: Instant) -> Sequence[Observation]:
        """The device refused the last request with a Modbus exception."""
        ...

    def silent(self, detail: str, now: Instant) -> Sequence[Observation]:
        """The last request brought no answer."""
        ...

    def line_down(self, detail: str, now: Instant) -> Sequence[Observation]:
        """The bus itself is gone."""
        ...

    def tick(self, now: Instant) -> Sequence[Observation]:
        """Called several times a second, whatever the bus does."""
        ...

    def read(self, tag: str, now: Instant) -> Sequence[Observation]:
        """Read the meter out of turn."""
        ...

    def control(self, target: ControlTarget) -> None:
        """Do this from now on; drivers without a connector ignore it."""
        ...
