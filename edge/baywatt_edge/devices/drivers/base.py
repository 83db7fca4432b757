"""What all Modbus drivers share: the poll, the link, and the answers to asked-for readings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from baywatt_contract.clock import Instant
from baywatt_contract.observations import (
    ControlTarget,
    MeterReading,
    Observation,
    Quality,
)
from baywatt_contract.site_file import Device
from baywatt_edge.devices.blocks import compile_blocks
from baywatt_edge.devices.errors import ProfileError
from baywatt_edge.devices.link import LinkWatch
from baywatt_edge.devices.modbus_frames import Request
from baywatt_edge.devices.polling import Poll, Polling
from baywatt_edge.devices.profile import Modbus, Profile
from baywatt_edge.devices.schedule import Want


class PolledDriver:
    """A device that is polled; subclasses say what a complete reading means."""

    def __init__(self, device: Device, profile: Profile) -> None:
        if profile.modbus is None:
            raise ProfileError(f"device {device.id!r}: {profile.id} is no Modbus profile")
        self.device_id = device.id
        self.unit = device.unit
        self.profile = profile
        self.modbus: Modbus = profile.modbus
        blocks = compile_blocks(profile.polled, self.modbus)
        if not blocks:
            raise ProfileError(f"profile {profile.id}: no register has a quantity")
        self._polling = Polling(device.unit, blocks, self.modbus.interval_ms)
        self._link = LinkWatch(device.id)
        self._last: dict[str, int | str] = {}

    @property
    def up(self) -> bool:
        """Whether the device answers."""
        return self._link.up

    @property
    def detail(self) -> str:
        """One line about the link, "" when all is well."""
        return self._link.detail

    @property
    def last(self) -> Mapping[str, int | str]:
        """The last values, for people."""
        return self._last

    def want(self, now: Instant) -> Want | None:  # noqa: ARG002 - part of the driver's contract
        """When the next block is due."""
        return self._polling.want()

    def request(self, now: Instant) -> Request:
        """The block read that leaves now."""
        return self._polling.request(now)

    def answered(self, words: tuple[int, ...], now: Instant) -> Sequence[Observation]:
        """One block arrived."""
        out: list[Observation] = list(self._link.ok(now, self.complaint()))
        poll = self._polling.take(words, now)
        if poll is not None:
            self._last = {str(quantity): value for quantity, value in poll.values.items()}
            out += self.complete(poll, now)
        return out

    def complaint(self) -> str:
        """What is wrong although it answers, "" when all is well."""
        return ""

    def complete(self, poll: Poll, now: Instant) -> list[Observation]:
        """What a complete reading means."""
        raise NotImplementedError

    def refused(self, code: int, now: Instant) -> Sequence[Observation]:
        """The device answers, but not what the profile expects."""
        request = self._polling.request(now)
        self._polling.failed(now)
        last = request.address + request.count - 1
        return self._link.miss(
            now,
            f"refuses registers {request.address} to {last} with exception {code}: "
            f"check that it is a {self.profile.id}",
        )

    def silent(self, detail: str, now: Instant) -> Sequence[Observation]:
        """No answer."""
        self._polling.failed(now)
        return self._link.miss(now, detail)

    def line_down(self, detail: str, now: Instant) -> Sequence[Observation]:
        """The bus is gone."""
        self._polling.failed(now)
        return self._link.down(now, detail)

    def tick(self, now: Instant) -> Sequence[Observation]:
        """Answer demands that waited too long: nobody is left waiting for ever."""
        return [self._unread(tag, now) for tag in self._polling.given_up(now)]

    def read(self, tag: str, now: Instant) -> Sequence[Observation]:
        """Read out of turn."""
        dropped = self._polling.ask(tag, now.mono_ms)
        return [] if dropped is None else [self._unread(dropped, now)]

    def control(self, target: ControlTarget) -> None:
        """Nothing to control here."""

    def _unread(self, tag: str, now: Instant) -> MeterReading:
        return MeterReading(self.device_id, now, {}, Quality.INVALID, tag)

    def _readings(self, poll: Poll) -> list[Observation]:
        """The reading, once for every tag that asked for it."""
        quality = Quality.INVALID if poll.invalid else Quality.GOOD
        return [
            MeterReading(self.device_id, poll.started, poll.values, quality, tag)
            for tag in poll.tags or [""]
        ]
