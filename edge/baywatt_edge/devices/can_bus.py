"""The owner of one CAN channel."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from baywatt_contract.house import Beat, Clock
from baywatt_contract.observations import ControlTarget, DeviceHealth, Observation, ReadMeter
from baywatt_contract.site_file import Bus
from baywatt_edge.devices.backoff import Backoff
from baywatt_edge.devices.can_frame import CanFrame
from baywatt_edge.devices.can_port import CanPort, open_can
from baywatt_edge.devices.capture import Direction, FrameRing
from baywatt_edge.devices.drivers.module import ModuleDriver
from baywatt_edge.devices.errors import LineLostError
from baywatt_edge.devices.warn_once import WarnOnce

log = logging.getLogger(__name__)

_IDLE_MS = 500


class CanBus:
    """A `BusOwner` for CAN; its modules have no connector of their own to control."""

    def __init__(
        self,
        bus: Bus,
        drivers: Sequence[ModuleDriver],
        clock: Clock,
        emit: Callable[[Observation], None],
        root: Path,
        *,
        opener: Callable[[Bus, Path], Awaitable[CanPort]] = open_can,
    ) -> None:
        self.bus_id = bus.id
        self.ring = FrameRing(bus.id)
        self._bus = bus
        self._drivers = tuple(drivers)
        self._clock = clock
        self._emit = emit
        self._root = root
        self._opener = opener
        self._outage = WarnOnce(log)

    async def run(self, beat: Beat) -> None:
        """Own the channel for ever; an outage ends with the next successful opening."""
        backoff = Backoff()
        while True:
            try:
                port = await self._opener(self._bus, self._root)
            except LineLostError as error:
                self._lost(error)
                await backoff.wait(beat)
                continue
            backoff.reset()
            self._outage.works(f"bus {self.bus_id} is back")
            try:
                await self._serve(port, beat)
            except LineLostError as error:
                self._lost(error)
            finally:
                await port.close()
            await backoff.wait(beat)

    def control(self, target: ControlTarget) -> None:
        """Power modules follow a connector's session once ISO 15118 exists; until then: off."""

    def read_meter(self, request: ReadMeter) -> None:
        """No meters on CAN."""

    def health(self) -> list[DeviceHealth]:
        """One line per module."""
        return [
            DeviceHealth(
                device_id=driver.device_id,
                bus_id=self.bus_id,
                profile=driver.profile.id,
                up=driver.up,
                requests=driver.statistics.requests,
                timeouts=driver.statistics.timeouts,
                latency_p50_ms=driver.statistics.percentile(0.5),
                latency_p99_ms=driver.statistics.percentile(0.99),
                detail=driver.detail,
                last=driver.last,
            )
            for driver in self._drivers
        ]

    async def _serve(self, port: CanPort, beat: Beat) -> None:
        receiving = asyncio.get_running_loop().create_task(self._receive(port))
        try:
            while True:
                beat()
                await self._speak(port)
                now_ms = self._clock.now().mono_ms
                due_ms = min((each.next_deadline_ms() for each in self._drivers), default=now_ms)
                pause_ms = min(max(due_ms - now_ms, 1), _IDLE_MS) if self._drivers else _IDLE_MS
                await asyncio.wait([receiving], timeout=pause_ms / 1000)
                if receiving.done():
                    receiving.result()
        finally:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)

    async def _speak(self, port: CanPort) -> None:
        for driver in self._drivers:
            frames, observations = driver.timer(self._clock.now())
            self._tell(observations)
            for frame in frames:
                self._tap(Direction.OUT, frame)
                await port.send(frame)

    async def _receive(self, port: CanPort) -> None:
        while True:
            frame = await port.receive()
            self._tap(Direction.IN, frame)
            now = self._clock.now()
            for driver in self._drivers:
                self._tell(driver.received(frame, now))

    def _tap(self, direction: Direction, frame: CanFrame) -> None:
        mono_us = int(asyncio.get_running_loop().time() * 1e6)
        self.ring.add(mono_us, direction, frame.can_id.to_bytes(4, "big") + frame.data)

    def _lost(self, error: LineLostError) -> None:
        self._outage.failed(f"bus {self.bus_id} is out: {error}")
        now = self._clock.now()
        for driver in self._drivers:
            self._tell(driver.line_down(f"bus {self.bus_id} is out: {error}", now))

    def _tell(self, observations: Sequence[Observation]) -> None:
        for observation in observations:
            self._emit(observation)
