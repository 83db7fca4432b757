"""The owner of one Modbus bus: the only task that speaks on it.

It moves bytes and tells the time; what to ask and what an answer means is the drivers' business,
and whose turn it is the schedule's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from baywatt_contract.house import Beat, Clock
from baywatt_contract.observations import (
    ControlTarget,
    DeviceHealth,
    LinkChanged,
    Observation,
    ReadMeter,
)
from baywatt_contract.site_file import Bus
from baywatt_edge.devices.backoff import Backoff
from baywatt_edge.devices.capture import FrameRing
from baywatt_edge.devices.errors import (
    ExchangeError,
    LineLostError,
    NoAnswerError,
    RefusedError,
)
from baywatt_edge.devices.link import Statistics
from baywatt_edge.devices.modbus_frames import Request
from baywatt_edge.devices.modbus_line import ModbusLine
from baywatt_edge.devices.modbus_open import address_of, open_line
from baywatt_edge.devices.owner import ModbusDriver
from baywatt_edge.devices.schedule import Choice, Manners, Schedule
from baywatt_edge.devices.warn_once import WarnOnce

log = logging.getLogger(__name__)

_GATEWAY_SILENCE = frozenset({10, 11})
_DUPLICATES_TOLD = 3


class ModbusBus:
    """A `BusOwner` for Modbus RTU, RTU over TCP and Modbus TCP."""

    def __init__(
        self,
        bus: Bus,
        drivers: Sequence[ModbusDriver],
        clock: Clock,
        emit: Callable[[Observation], None],
        root: Path,
        *,
        opener: Callable[[Bus, Path, FrameRing], Awaitable[ModbusLine]] = open_line,
    ) -> None:
        self.bus_id = bus.id
        self.ring = FrameRing(bus.id)
        self._bus = bus
        self._drivers = {driver.device_id: driver for driver in drivers}
        self._statistics = {driver.device_id: Statistics() for driver in drivers}
        self._duplicates: dict[int, int] = {}
        self._clock = clock
        self._emit = emit
        self._root = root
        self._opener = opener
        self._schedule = Schedule({d.device_id: self._manners(d) for d in drivers})
        self._wake = asyncio.Event()
        self._outage = WarnOnce(log)
        self._silences = {driver.device_id: WarnOnce(log) for driver in drivers}

    async def run(self, beat: Beat) -> None:
        """Own the bus for ever; an outage ends with the next successful opening."""
        backoff = Backoff()

        def pulse() -> None:
            beat()
            self._tick()

        while True:
            try:
                line = await self._opener(self._bus, self._root, self.ring)
            except LineLostError as error:
                self._lost(error)
                await backoff.wait(pulse)
                continue
            backoff.reset()
            self._outage.works(f"bus {self.bus_id} ({address_of(self._bus)}) is back")
            try:
                await self._serve(line, beat)
            except LineLostError as error:
                self._lost(error)
            finally:
                await line.close()
            await backoff.wait(pulse)

    def control(self, target: ControlTarget) -> None:
        """The newest target of a connector wins."""
        for driver in self._drivers.values():
            driver.control(target)
        self._wake.set()

    def read_meter(self, request: ReadMeter) -> None:
        """Read a device of this bus out of turn."""
        driver = self._drivers.get(request.device_id)
        if driver is not None:
            self._tell(driver.read(request.tag, self._clock.now()))
            self._wake.set()

    def health(self) -> list[DeviceHealth]:
        """One line per device."""
        return [self._health(driver) for driver in self._drivers.values()]

    async def _serve(self, line: ModbusLine, beat: Beat) -> None:
        self._schedule.reset()
        while True:
            beat()
            self._tick()
            line.raise_if_lost()
            choice, now_ms = self._choose()
            if choice.device_id is not None and await line.settle():
                choice, now_ms = self._choose()  # meanwhile somebody more urgent may have come
            if choice.device_id is None:
                await self._idle((choice.until_ms - now_ms) / 1000)
            else:
                self._note_duplicate(line)  # whatever else arrived has arrived by now
                await self._turn(line, self._drivers[choice.device_id])

    def _choose(self) -> tuple[Choice, int]:
        now = self._clock.now()
        wants = {name: driver.want(now) for name, driver in self._drivers.items()}
        return self._schedule.choose(wants, now.mono_ms), now.mono_ms

    async def _idle(self, seconds: float) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(max(seconds, 0.0005)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _turn(self, line: ModbusLine, driver: ModbusDriver) -> None:
        """One exchange with one device."""
        began = self._clock.now()
        request = driver.request(began)
        try:
            words = await self._ask(line, driver, request)
        except LineLostError:
            raise
        except RefusedError as error:
            now = self._clock.now()
            self._schedule.answered(driver.device_id, now.mono_ms)
            self._tell(driver.refused(error.code, now))
        except ExchangeError as error:
            now = self._clock.now()
            self._schedule.missed(driver.device_id, now.mono_ms, now.mono_ms - began.mono_ms)
            self._tell(driver.silent(self._silence(driver, error), now))
        else:
            now = self._clock.now()
            self._schedule.answered(driver.device_id, now.mono_ms)
            self._tell(driver.answered(words, now))

    async def _ask(
        self, line: ModbusLine, driver: ModbusDriver, request: Request
    ) -> tuple[int, ...]:
        """The words of the answer; a device that sleeps is asked again at once, as it needs."""
        tries = 1 + (0 if driver.up or driver.profile.modbus is None
                     else driver.profile.modbus.wake_up_reads)  # fmt: skip
        for left in reversed(range(tries)):
            try:
                return await self._exchange(line, driver, request)
            except NoAnswerError:
                if left == 0:
                    raise
                await line.settle()
        raise NoAnswerError("no answer")

    async def _exchange(
        self, line: ModbusLine, driver: ModbusDriver, request: Request
    ) -> tuple[int, ...]:
        statistics = self._statistics[driver.device_id]
        statistics.requests += 1
        try:
            answer = await line.exchange(request, self._manners(driver).timeout_ms / 1000)
        except NoAnswerError as error:
            statistics.timeouts += 1
            statistics.damaged += error.damaged > 0
            raise
        except RefusedError as error:
            if error.code in _GATEWAY_SILENCE:
                statistics.timeouts += 1
                raise NoAnswerError("the gateway gets no answer") from error
            raise
        statistics.damaged += answer.damaged > 0
        statistics.answered(answer.latency_ms)
        return answer.words

    def _manners(self, driver: ModbusDriver) -> Manners:
        modbus = driver.profile.modbus
        timeout_ms = modbus.timeout_ms if modbus else 300
        return Manners(int(self._bus.timeout_ms or timeout_ms), modbus.min_gap_ms if modbus else 0)

    def _silence(self, driver: ModbusDriver, error: ExchangeError) -> str:
        where = f"unit {driver.unit} on bus {self.bus_id}"
        if isinstance(error, NoAnswerError) and error.damaged:
            return f"{where} answers garbage: check baudrate, parity, wiring and termination"
        return f"{error} from {where}: check power, wiring and `unit`"

    def _note_duplicate(self, line: ModbusLine) -> None:
        unit = line.duplicate()
        if unit is None:
            return
        self._duplicates[unit] = self._duplicates.get(unit, 0) + 1
        if self._duplicates[unit] == _DUPLICATES_TOLD:
            log.warning(
                "bus %s: two devices answer as unit %d: give one of them another id",
                self.bus_id,
                unit,
            )

    def _lost(self, error: LineLostError) -> None:
        self._outage.failed(f"bus {self.bus_id} ({address_of(self._bus)}) is out: {error}")
        now = self._clock.now()
        for driver in self._drivers.values():
            # The bus has been warned of: its devices need no lines of their own.
            for observation in driver.line_down(f"bus {self.bus_id} is out: {error}", now):
                self._emit(observation)

    def _tick(self) -> None:
        now = self._clock.now()
        for driver in self._drivers.values():
            self._tell(driver.tick(now))

    def _tell(self, observations: Sequence[Observation]) -> None:
        for observation in observations:
            if isinstance(observation, LinkChanged):
                self._note_link(observation)
            self._emit(observation)

    def _note_link(self, link: LinkChanged) -> None:
        name = f"device {link.device_id} on bus {self.bus_id}"
        if link.up:
            self._silences[link.device_id].works(f"{name} answers again")
        else:
            self._silences[link.device_id].failed(f"{name} is down: {link.detail}")

    def _health(self, driver: ModbusDriver) -> DeviceHealth:
        statistics = self._statistics[driver.device_id]
        detail = driver.detail
        if self._duplicates.get(driver.unit, 0) >= _DUPLICATES_TOLD:
            detail = f"two devices answer as unit {driver.unit}"
        return DeviceHealth(
            device_id=driver.device_id,
            bus_id=self.bus_id,
            profile=driver.profile.id,
            up=driver.up,
            requests=statistics.requests,
            timeouts=statistics.timeouts,
            crc_errors=statistics.damaged,
            latency_p50_ms=statistics.percentile(0.5),
            latency_p99_ms=statistics.percentile(0.99),
            detail=detail,
            last=driver.last,
        )
