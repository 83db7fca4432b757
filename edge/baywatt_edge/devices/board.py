"""The owner of a serial line with a safety board on it.

A restart of the daemon does not interrupt a charge. The owner opens a session with the board at
once but names a channel in control frames only when the first ControlTarget for its connector has
come. Until then the board stays where host loss has put it (at its fail-safe, the contactor still
closed) and goes on with the same transaction at the first control frame. If the daemon takes
longer than the board's parameter (60 s) to decide, the board opens by itself.

A grant that ran out unrenewed lowers the limit to the fail-safe, and no more: control frames go on
while the daemon lives. When it does not, the board's own host loss takes over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from baywatt_bridge.host import HostLink, Phase
from baywatt_bridge.host_events import (
    CardSwiped,
    ChannelState,
    Connected,
    Event,
    LatchAnswered,
    LinkLost,
    Refused,
)
from baywatt_bridge.messages import ChannelReport
from baywatt_bridge.vocabulary import LATCHING
from baywatt_contract.clock import Instant
from baywatt_contract.house import Beat, Clock
from baywatt_contract.observations import (
    ControlTarget,
    DeviceHealth,
    LinkChanged,
    Observation,
    ReadMeter,
    TokenSwiped,
)
from baywatt_contract.site_file import Bus, Connector, Device
from baywatt_edge.devices.board_values import (
    fault_codes,
    observed,
    parameters_for,
    percentile_ms,
    target_for,
)
from baywatt_edge.devices.serial_port import (
    PortLostError,
    PortUnavailableError,
    SerialPort,
    open_port,
)

_log = logging.getLogger(__name__)

OBSERVE_EVERY_MS = 1_000
NO_ANSWER_MS = 3_000
WARN_EVERY_MS = 60_000
_FIRST_RETRY_S, _LAST_RETRY_S = 0.25, 4.0
_BACKLOG_WAIT_S = 0.02
_BEAT_S = 0.5


class BoardBus:
    """One safety board: control targets in, observations out."""

    def __init__(
        self,
        bus: Bus,
        device: Device,
        connectors: Sequence[Connector],
        fail_safe_ma: int,
        clock: Clock,
        emit: Callable[[Observation], None],
        root: Path,
    ) -> None:
        """`connectors` are those that `device` controls; a relative port is relative to `root`."""
        self.bus_id = bus.id
        self._bus, self._device = bus, device
        self._path = root / (bus.port or "")
        self._connectors = {each.id: each for each in connectors}
        self._by_channel = {each.control_channel: each for each in connectors}
        self._fail_safe_ma = fail_safe_ma
        self._clock = clock
        self._emit = emit
        self._targets: dict[int, ControlTarget] = {}
        self._unlocked: set[int] = set()
        self._reports: dict[int, tuple[ChannelReport, int]] = {}
        self._link = HostLink(secrets.randbits(32), parameters_for(fail_safe_ma), self._now_ms())
        self._wake = asyncio.Event()
        self._up: bool | None = None
        self._detail = "not opened yet"
        self._warned_ms: int | None = None
        self._since_ms = self._now_ms()

    async def run(self, beat: Beat) -> None:
        """Keep the line open and the board told; never returns by itself."""
        retry_s = _FIRST_RETRY_S
        while True:
            try:
                await self._with_port(beat)
            except PortUnavailableError as error:
                self._outage(str(error))
                retry_s = min(retry_s * 2, _LAST_RETRY_S)
            except PortLostError as error:
                self._handle(self._link.reset(self._now_ms(), str(error)))
                self._outage(str(error))
                retry_s = _FIRST_RETRY_S
            await _pause(retry_s, beat)

    def control(self, target: ControlTarget) -> None:
        """The newest target of a connector wins; KeyError for a connector of another bus."""
        self._connectors[target.connector_id]
        self._targets[target.connector_id] = target
        if not target.unlock:
            self._unlocked.discard(target.connector_id)
        self._wake.set()

    def read_meter(self, request: ReadMeter) -> None:
        """A board has no meter."""

    def clear_latch(self, connector_id: int) -> None:
        """A person has seen to the connector's fault: ask the board to forget what is gone.

        Raises baywatt_bridge.errors.NotConnectedError; KeyError for a connector of another bus.
        """
        self._link.clear_latch(self._connectors[connector_id].control_channel, LATCHING)
        self._wake.set()

    def health(self) -> list[DeviceHealth]:
        """The board's line in `baywatt status`."""
        link, samples = self._link, list(self._link.latencies_ms)
        last: dict[str, int | str] = {"link": link.phase.value}
        if link.welcome is not None:
            last["board"] = link.welcome.board_type
            last["serial"] = link.welcome.serial
            last["firmware"] = link.welcome.firmware
            last["boots"] = link.welcome.boot_counter
        return [
            DeviceHealth(
                device_id=self._device.id,
                bus_id=self.bus_id,
                profile=self._device.profile,
                up=bool(self._up),
                requests=link.controls_sent,
                timeouts=link.losses,
                crc_errors=link.bad_frames,
                latency_p50_ms=percentile_ms(samples, 50),
                latency_p99_ms=percentile_ms(samples, 99),
                detail=self._detail,
                last=last,
            )
        ]

    async def _with_port(self, beat: Beat) -> None:
        beat()
        bus = self._bus
        port = await open_port(self._path, bus.baudrate, bus.parity, bus.stopbits)
        self._since_ms = self._now_ms()
        self._link.reset(self._since_ms, "the port was opened anew")
        reading = asyncio.create_task(self._read(port))
        reading.add_done_callback(lambda _: self._wake.set())
        try:
            while not reading.done():
                beat()
                self._send(port)
                await self._wait(port)
            reading.result()
        finally:
            reading.cancel()
            port.close()
            await asyncio.wait([reading])
            if not reading.cancelled():
                reading.exception()  # raised above, or the same loss that writing met first

    async def _read(self, port: SerialPort) -> None:
        while True:
            data = await port.read()
            now_ms = self._now_ms()
            self._handle(self._link.receive_data(data, now_ms))
            if self._link.next_deadline() <= now_ms:
                self._wake.set()

    async def _wait(self, port: SerialPort) -> None:
        """Until something is due, wished or lost."""
        due_s = (self._link.next_deadline() - self._now_ms()) / 1000
        if port.backlog_bytes:
            due_s = max(due_s, _BACKLOG_WAIT_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(max(due_s, 0.0), _BEAT_S)):
                await self._wake.wait()

    def _send(self, port: SerialPort) -> None:
        """Send what is due, unless the line still holds older frames: none may arrive late."""
        self._wake.clear()
        now_ms = self._now_ms()
        self._handle(self._link.handle_timer(now_ms))
        self._tell_targets(now_ms)
        if not port.backlog_bytes:
            port.write(self._link.data_to_send(now_ms))
        if self._link.phase is not Phase.UP and now_ms >= self._since_ms + NO_ANSWER_MS:
            self._outage(self._detail_of_silence())

    def _tell_targets(self, now_ms: int) -> None:
        for connector_id, target in self._targets.items():
            connector = self._connectors[connector_id]
            self._link.set_target(target_for(connector, target, self._fail_safe_ma, now_ms))
            wants_unlock = target.unlock and connector_id not in self._unlocked
            if wants_unlock and self._link.phase is Phase.UP:
                self._unlocked.add(connector_id)
                self._link.unlock(connector.control_channel)

    def _handle(self, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case ChannelState(report):
                    self._observe(report)
                case CardSwiped(channel, uid, age_ms):
                    self._swiped(channel, uid, age_ms)
                case Connected():
                    self._connected(event)
                case LinkLost(reason):
                    self._since_ms = self._now_ms()
                    self._outage(reason)
                case Refused(reason):
                    self._outage(reason, anew=True)
                case LatchAnswered(channel, result, latched):
                    names = ", ".join(sorted(fault_codes(latched))) or "nothing"
                    _log.info(
                        "board %s channel %d: clearing latched faults: %s, still latched: %s",
                        self._device.id, channel, result.name.lower(), names,
                    )  # fmt: skip

    def _observe(self, report: ChannelReport) -> None:
        """Pass on every change, and the state at least once a second."""
        connector = self._by_channel.get(report.channel)
        if connector is None:
            return
        now = self._clock.now()
        known = self._reports.get(report.channel)
        if known and known[0] == report and now.mono_ms < known[1] + OBSERVE_EVERY_MS:
            return
        self._reports[report.channel] = (report, now.mono_ms)
        self._emit(observed(connector.id, report, now))

    def _swiped(self, channel: int, uid: bytes, age_ms: int) -> None:
        connector = self._by_channel.get(channel)
        if connector is None:
            _log.warning(
                "board %s: a card at channel %d, which no connector uses: check control_channel",
                self._device.id, channel,
            )  # fmt: skip
            return
        at = _before(self._clock.now(), age_ms)
        self._emit(TokenSwiped(connector.id, uid.hex().upper(), at))

    def _connected(self, event: Connected) -> None:
        who = event.welcome
        self._detail = f"{who.board_type} {who.serial}, firmware {who.firmware}"
        present = {info.channel for info in who.channels}
        for channel, connector in self._by_channel.items():
            if channel not in present:
                self._detail += f"; no channel {channel} for connector {connector.id}"
                _log.warning(
                    "board %s has no channel %d: check control_channel of connector %d",
                    self._device.id, channel, connector.id,
                )  # fmt: skip
        self._reports.clear()
        self._up = True
        _log.info("board %s is up: %s", self._device.id, self._detail)
        self._emit(LinkChanged(self._device.id, True, self._clock.now(), self._detail))

    def _detail_of_silence(self) -> str:
        if self._up is False:
            return self._detail
        return f"no answer on {self._path}: check the board's power, cable and baudrate"

    def _outage(self, reason: str, *, anew: bool = False) -> None:
        """Say it once, or `anew`; a link that comes and goes is warned of once a minute."""
        self._detail = reason
        if self._up is False and not anew:
            return
        self._up = False
        now = self._clock.now()
        warned_ms = self._warned_ms
        quiet = not anew and warned_ms is not None and now.mono_ms < warned_ms + WARN_EVERY_MS
        if not quiet:
            self._warned_ms = now.mono_ms
        _log.log(
            logging.DEBUG if quiet else logging.WARNING,
            "board %s on bus %s is down: %s", self._device.id, self.bus_id, reason,
        )  # fmt: skip
        self._emit(LinkChanged(self._device.id, False, now, reason))

    def _now_ms(self) -> int:
        return self._clock.now().mono_ms


def _before(now: Instant, age_ms: int) -> Instant:
    """The moment `age_ms` ago, not before the boot."""
    return now.plus_ms(-min(age_ms, now.mono_ms))


async def _pause(seconds: float, beat: Beat) -> None:
    while seconds > 0:
        beat()
        await asyncio.sleep(min(seconds, _BEAT_S))
        seconds -= _BEAT_S
