"""A DC power module on CAN: polled, kept alive, and off; its output is not used yet."""

from __future__ import annotations

from collections.abc import Mapping

from baywatt_contract.clock import Instant
from baywatt_contract.observations import ModuleObserved, Observation
from baywatt_contract.site_file import Device
from baywatt_edge.devices import infypower as infy
from baywatt_edge.devices.can_frame import CanFrame
from baywatt_edge.devices.errors import ProfileError
from baywatt_edge.devices.link import LinkWatch, Statistics
from baywatt_edge.devices.profile import Can, Profile

_CAPABILITIES_MS = 10_000


class ModuleDriver:
    """One module. Frames to send are asked for, frames received are told; pure."""

    def __init__(self, device: Device, profile: Profile) -> None:
        if profile.can is None:
            raise ProfileError(f"device {device.id!r}: {profile.id} is no CAN profile")
        self.device_id = device.id
        self.unit = device.unit
        self.profile = profile
        self.statistics = Statistics()
        self._can: Can = profile.can
        self._link = LinkWatch(device.id)
        self._due_ms = 0
        self._capabilities_ms = 0
        self._asked_ms: int | None = None
        self._output: infy.Output | None = None
        self._status: infy.Status | None = None
        self._capabilities: infy.Capabilities | None = None
        self._last: dict[str, int | str] = {}

    @property
    def up(self) -> bool:
        """Whether the module answers."""
        return self._link.up

    @property
    def detail(self) -> str:
        """One line about the link."""
        return self._link.detail

    @property
    def last(self) -> Mapping[str, int | str]:
        """The last values, for people."""
        return self._last

    def next_deadline_ms(self) -> int:
        """When `timer` wants to be called."""
        return self._due_ms

    def timer(self, now: Instant) -> tuple[list[CanFrame], list[Observation]]:
        """The questions that are due; every one of them also keeps the module alive."""
        if now.mono_ms < self._due_ms:
            return [], []
        out: list[Observation] = []
        if self._asked_ms is not None:
            self.statistics.timeouts += 1
            where = f"module {self.unit}"
            out += self._link.miss(now, f"no answer from {where}: check power, bit rate and `unit`")
            if not self._link.up:
                self._status = None  # what it was must be asked anew when it is back
        self._due_ms = now.mono_ms + self._can.interval_ms
        self._asked_ms = now.mono_ms
        return self._questions(now.mono_ms), out

    def _questions(self, now_ms: int) -> list[CanFrame]:
        commands = [infy.Command.READ_STATUS, infy.Command.READ_OUTPUT]
        if now_ms >= self._capabilities_ms or self._capabilities is None:
            self._capabilities_ms = now_ms + _CAPABILITIES_MS
            commands.insert(0, infy.Command.READ_CAPABILITIES)
        self.statistics.requests += len(commands)
        controller = self._can.controller
        frames = [infy.read(command, self.unit, controller) for command in commands]
        if self._status is not None and self._status.on:
            frames.insert(0, infy.switch_off(self.unit, controller))
        return frames

    def received(self, frame: CanFrame, now: Instant) -> list[Observation]:
        """A frame came along; frames of others and malformed ones change nothing."""
        command = infy.answer_from(frame, self.unit, self._can.controller)
        if command == infy.Command.READ_STATUS:
            self._status = infy.status(frame.data)
        elif command == infy.Command.READ_CAPABILITIES:
            self._capabilities = infy.capabilities(frame.data)
        elif command == infy.Command.READ_OUTPUT:
            self._output = infy.output(frame.data)
            return self._complete(now)
        return []

    def line_down(self, detail: str, now: Instant) -> list[Observation]:
        """The bus is gone."""
        self._asked_ms, self._status, self._due_ms = None, None, 0
        return list(self._link.down(now, detail))

    def _complete(self, now: Instant) -> list[Observation]:
        """Voltage and current are asked for last: with them the picture is whole."""
        if self._asked_ms is not None:
            self.statistics.answered(float(now.mono_ms - self._asked_ms))
        self._asked_ms = None
        out: list[Observation] = list(self._link.ok(now))
        if self._output is None or self._status is None:
            return out
        power_w = self._capabilities.power_w if self._capabilities else 0
        self._last = {
            "voltage_dc_mv": self._output.voltage_mv,
            "current_dc_ma": self._output.current_ma,
            "state": "on" if self._status.on else "off",
            "alarms": ", ".join(sorted(self._status.alarms)),
        }
        out.append(
            ModuleObserved(
                self.device_id,
                now,
                self._status.on,
                self._output.voltage_mv,
                self._output.current_ma,
                power_w,
                self._status.alarms,
            )
        )
        return out
