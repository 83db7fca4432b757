"""One channel of a board: what it offers, locks and switches (PROTOCOL.md, sections 6 to 9).

Pure logic. The hardware's inputs are set on `senses`; `step` draws the conclusions. Lowering
(less current, open, state F) happens in the very step, raising waits for its conditions.
"""

from __future__ import annotations

from dataclasses import dataclass

from baywatt_bridge.messages import ChannelControl, ChannelInfo, ChannelReport, ParameterBlock
from baywatt_bridge.timing import Alarm
from baywatt_bridge.vocabulary import (
    LATCHING,
    MIN_OFFER_MA,
    NO_FAULT,
    ChannelKind,
    Fault,
    HostLoss,
    Lock,
    Pilot,
    Result,
)

PILOT_SHORT_MS = 500
WELD_MS = 500
CLOSE_AFTER_MS = 200  # state C must stand that long
RAISE_EVERY_MS = 5_000  # IEC 61851-1: the duty cycle changes at most every 5 s
X1_GRACE_MS = 6_000  # IEC 61851-1, sequence 10.2: then the contactor opens under load
DC_GRACE_MS = 1_000
AC_IDLE_MA = 1_000
DC_IDLE_MA = 5_000


@dataclass(slots=True)
class Senses:
    """What the channel's hardware measures."""

    pilot: Pilot = Pilot.A  # as the vehicle sets it, E when shorted
    mirror_closed: bool = False
    cable_max_ma: int = 0  # of the plugged cable (proximity contact), 0 = none seen
    current_ma: int | None = None  # highest phase current, None = not measured
    causes: Fault = NO_FAULT  # what the channel's own supervision finds right now


class BoardChannel:
    """The state machine of one channel."""

    def __init__(self, info: ChannelInfo, now_ms: int) -> None:
        """As after a reset: nothing offered, contactor open."""
        self.info = info
        self.senses = Senses()
        self.coil = False
        self.offered_ma = 0
        self.lock = Lock.UNLOCKED if info.kind is ChannelKind.AC_SOCKET else Lock.NONE
        self.faults = NO_FAULT
        self.latched = NO_FAULT
        self.host_lost = HostLoss.OPEN
        self._order: ChannelControl | None = None
        self._phases = info.phases
        self._ordered_ms: int | None = None
        self._unlock_seen = 0
        self._released = False
        self._pilot_ms = self._opened_ms = self._offer_ms = now_ms

    @property
    def is_dc(self) -> bool:
        """Whether power electronics feed the channel."""
        return self.info.kind is ChannelKind.DC

    def new_session(self) -> None:
        """A host opened a session: its unlock counter starts at 0."""
        self._unlock_seen = 0

    def control(self, order: ChannelControl, now_ms: int) -> None:
        """Obey a valid control entry; this alone ends host loss."""
        if order.unlock != self._unlock_seen:
            self._unlock_seen = order.unlock
            self._released = not self.coil and not self.senses.mirror_closed
        self._order = order
        self._ordered_ms = now_ms

    def sense_pilot(self, pilot: Pilot, now_ms: int) -> None:
        """The vehicle's side of the pilot changed (A to E; F is the board's own)."""
        if pilot is Pilot.F:
            raise ValueError("state F is driven by the board, not by the vehicle")
        if pilot is not self.senses.pilot:
            self.senses.pilot = pilot
            self._pilot_ms = now_ms
        if pilot is Pilot.A:
            self._released = False

    def clear_latch(self, faults: Fault) -> Result:
        """Forget latched faults whose cause is gone."""
        self.latched &= ~(faults & ~self.faults)
        return Result.CAUSE_PRESENT if self.latched & faults else Result.DONE

    def step(self, parameters: ParameterBlock, alarm: Alarm) -> None:
        """Draw all conclusions for this moment; `alarm` learns when to look again."""
        self._watch_host(parameters, alarm)
        self._watch_faults(alarm)
        self._offer(parameters, alarm)
        if self.coil and self._must_open(alarm):
            self.coil = False
            self._opened_ms = alarm.now_ms
        self._turn_lock()
        if not self.coil and self._may_close(alarm):
            self.coil = True
            self._phases = self._order.phases if self._order else self.info.phases

    def report(self) -> ChannelReport:
        """The channel's part of the state message."""
        return ChannelReport(
            channel=self.info.channel,
            pilot=self._shown_pilot(),
            contactor_closed=self.senses.mirror_closed,
            lock=self.lock,
            offered_ma=self.offered_ma,
            host_lost=self.host_lost,
            phases=self._phases,
            faults=self.faults,
            latched=self.latched,
            cable_max_ma=self._cable_ma(),
            power_enabled=self.is_dc and self.offered_ma > 0,
        )

    def _watch_host(self, parameters: ParameterBlock, alarm: Alarm) -> None:
        since = self._ordered_ms
        lost_ms = parameters.host_loss_ms
        open_ms = lost_ms + DC_GRACE_MS if self.is_dc else parameters.host_loss_open_ms
        if since is not None and not alarm.reached(since + lost_ms):
            self.host_lost = HostLoss.PRESENT
        elif since is not None and not alarm.reached(since + open_ms):
            self.host_lost = HostLoss.FAIL_SAFE
        else:
            self.host_lost = HostLoss.OPEN
            self._order = None
            self._released = False

    def _watch_faults(self, alarm: Alarm) -> None:
        found = self.senses.causes
        if self.lock is Lock.NONE:
            found &= ~Fault.LOCK_FAILED
        if self.senses.pilot is Pilot.E and alarm.reached(self._pilot_ms + PILOT_SHORT_MS):
            found |= Fault.PILOT_SHORT
        if self.senses.pilot is Pilot.D and not self.is_dc:
            found |= Fault.VENTILATION
        welded = self.senses.mirror_closed and not self.coil
        if welded and alarm.reached(self._opened_ms + WELD_MS):
            found |= Fault.CONTACTOR_WELDED
        self.faults = found
        self.latched |= found & LATCHING

    def _offer(self, parameters: ParameterBlock, alarm: Alarm) -> None:
        wanted = self._allowed_ma(parameters)
        raises = 0 < self.offered_ma < wanted
        if raises and not alarm.reached(self._offer_ms + RAISE_EVERY_MS):
            return
        if wanted != self.offered_ma:
            self.offered_ma = wanted
            self._offer_ms = alarm.now_ms

    def _allowed_ma(self, parameters: ParameterBlock) -> int:
        order = self._order
        if order is None or not order.permit or not order.available or self._blocked():
            return 0
        limit_ma = min(order.limit_ma, self.info.max_ma)
        if self.info.kind is ChannelKind.AC_SOCKET:
            limit_ma = min(limit_ma, self.senses.cable_max_ma)
        if self.host_lost is HostLoss.FAIL_SAFE:
            limit_ma = 0 if self.is_dc else min(limit_ma, parameters.fail_safe_ma)
        return limit_ma if limit_ma >= MIN_OFFER_MA else 0

    def _blocked(self) -> bool:
        return bool(self.faults | self.latched)

    def _wants_energy(self) -> bool:
        return self.senses.pilot is Pilot.C or (self.is_dc and self.senses.pilot is Pilot.D)

    def _must_open(self, alarm: Alarm) -> bool:
        """At once for safety; else the vehicle gets its time to stop drawing by itself."""
        if not self._wants_energy() or self._blocked() or self._order is None:
            return True
        if self.offered_ma > 0:
            return False
        idle_ma, grace_ms = (DC_IDLE_MA, DC_GRACE_MS) if self.is_dc else (AC_IDLE_MA, X1_GRACE_MS)
        current_ma = self.senses.current_ma
        idle = current_ma is not None and current_ma < idle_ma
        return idle or alarm.reached(self._offer_ms + grace_ms)

    def _turn_lock(self) -> None:
        if self.lock is Lock.NONE:
            return
        ordered = self._order is not None and self._order.permit and not self._released
        connected = self.senses.pilot in {Pilot.B, Pilot.C, Pilot.D}
        live = self.coil or self.senses.mirror_closed
        if not live and not (ordered and connected and not self.latched):
            self.lock = Lock.UNLOCKED
        else:
            self.lock = Lock.FAILED if self.faults & Fault.LOCK_FAILED else Lock.LOCKED

    def _may_close(self, alarm: Alarm) -> bool:
        return (
            self.offered_ma > 0
            and self._wants_energy()
            and not self.senses.mirror_closed
            and self.lock in {Lock.NONE, Lock.LOCKED}
            and alarm.reached(self._pilot_ms + CLOSE_AFTER_MS)
        )

    def _cable_ma(self) -> int:
        is_socket = self.info.kind is ChannelKind.AC_SOCKET
        return self.senses.cable_max_ma if is_socket else 0

    def _shown_pilot(self) -> Pilot:
        out_of_service = self._order is not None and not self._order.available
        if self.latched or (out_of_service and not self.coil):
            return Pilot.F
        return self.senses.pilot
