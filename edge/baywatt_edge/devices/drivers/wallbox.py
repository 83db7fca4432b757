"""A wallbox as a complete charge controller, by profile.

It holds the grant of its connector: when the grant runs out unrenewed, the fail-safe current is
written; unless that is confirmed by a read-back, all traffic to the device stops until the next
grant, so that the device's own watchdog acts (any request would feed it). After a restart of the
daemon nothing that bears on a running charge is written before the first target arrives; if none
arrives within 60 s, the fail-safe applies.
"""

from __future__ import annotations

from collections.abc import Sequence

from baywatt_contract.clock import Instant
from baywatt_contract.observations import (
    ConnectorObserved,
    ControlTarget,
    FaultCode,
    Observation,
    Pilot,
)
from baywatt_contract.site_file import Connector, Device
from baywatt_edge.devices.decode import current_ma, raw_current
from baywatt_edge.devices.drivers.base import PolledDriver
from baywatt_edge.devices.drivers.grant import CONFIRM_MS, Grant
from baywatt_edge.devices.drivers.settings import Action, Settings, Write
from baywatt_edge.devices.errors import ProfileError
from baywatt_edge.devices.modbus_frames import Request
from baywatt_edge.devices.polling import Poll
from baywatt_edge.devices.profile import Profile, StateMeaning, Wallbox, Watchdog
from baywatt_edge.devices.schedule import Priority, Want

_TELL_MS = 900
_VERIFY_MS = 30_000
_UNKNOWN_STATE = StateMeaning(pilot=Pilot.F, closed=True, fault=FaultCode.CONTROLLER)


class WallboxDriver(PolledDriver):
    """One connector behind one wallbox."""

    def __init__(
        self, device: Device, profile: Profile, connector: Connector, fail_safe_ma: int
    ) -> None:
        super().__init__(device, profile)
        if profile.wallbox is None:
            raise ProfileError(f"device {device.id!r}: {profile.id} is no wallbox")
        self._box: Wallbox = profile.wallbox
        self._limit = profile.register(self._box.limit)
        self._connector_id = connector.id
        self._fail_safe_ma = fail_safe_ma
        ceiling = min(self._box.limit_maximum_ma, connector.max_a * 1000)
        self._grant = Grant(fail_safe_ma, ceiling)
        self._settings = Settings(profile, device.unit, _settings_of(self._box))
        self._action: Action | None = None
        self._silenced = False
        self._verify_ms = 0
        self._feed_ms = 0
        self._told: ConnectorObserved | None = None

    @property
    def silenced(self) -> bool:
        """Whether all traffic to the device has stopped so that its own watchdog acts."""
        return self._silenced

    def control(self, target: ControlTarget) -> None:
        """The newest target wins; a new grant also ends the silence."""
        if target.connector_id != self._connector_id:
            return
        before = self._grant.target
        self._grant.renew(target)
        if before is None or before.limit_ma != target.limit_ma or before.permit != target.permit:
            self._settings.hurry()
        if self._silenced:
            self._silenced = False
            self._settings.forget()

    def want(self, now: Instant) -> Want | None:
        """Settings that differ go before everything else."""
        self._grant.began(now.mono_ms)
        if self._silenced:
            return None
        if self._settings.next(self._desired(now.mono_ms), now.mono_ms) is not None:
            return Want(now.mono_ms, Priority.CONTROL)
        poll = self._polling.want()
        feed_ms = self._feed_due_ms(now.mono_ms)
        if feed_ms is not None and feed_ms <= max(poll.at_ms, now.mono_ms):
            return Want(feed_ms, Priority.CONTROL)
        return poll

    def request(self, now: Instant) -> Request:
        """A setting to write or read back, else the next block of the poll."""
        self._keep_fresh(now.mono_ms)
        self._action = self._settings.next(self._desired(now.mono_ms), now.mono_ms)
        self._action = self._action or self._feed(now.mono_ms)
        if self._action is None:
            return self._polling.request(now)
        return self._settings.request(self._action)

    def answered(self, words: tuple[int, ...], now: Instant) -> Sequence[Observation]:
        """An answer to a setting or to the poll."""
        if self._action is None:
            return super().answered(words, now)
        self._settings.done(self._action, words, now.mono_ms)
        self._action = None
        return self._link.ok(now, self.complaint())

    def refused(self, code: int, now: Instant) -> Sequence[Observation]:
        """A refused setting is tried again later and shown as a fault of the controller."""
        if self._action is None:
            return super().refused(code, now)
        self._settings.failed(self._action, now.mono_ms)
        self._action = None
        return self._link.ok(now, self.complaint() or f"refused a setting with exception {code}")

    def silent(self, detail: str, now: Instant) -> Sequence[Observation]:
        """What it holds is uncertain from now on: a box that lost power forgets its settings."""
        if self._action is not None:
            self._settings.failed(self._action, now.mono_ms)
            self._action = None
        out = super().silent(detail, now)
        if out:
            self._settings.forget()
        return out

    def line_down(self, detail: str, now: Instant) -> Sequence[Observation]:
        """The bus is gone, and with it all certainty."""
        self._action = None
        self._settings.forget()
        return super().line_down(detail, now)

    def tick(self, now: Instant) -> Sequence[Observation]:
        """Watch the end of the grant even while the bus says nothing."""
        out = list(super().tick(now))
        over = self._grant.expired_for_ms(now.mono_ms)
        if over is None or over < CONFIRM_MS or self._silenced or self._limit_confirmed(now):
            return out
        self._silenced = True
        dog = self._box.watchdog
        acts = (
            f"its own watchdog acts within {dog.time_ms // 1000} s" if dog else "it has no watchdog"
        )
        return out + list(
            self._link.down(
                now,
                f"the grant ran out and the fail-safe current is not confirmed: "
                f"all traffic stopped, {acts}",
            )
        )

    def complete(self, poll: Poll, now: Instant) -> list[Observation]:
        """State and measured values."""
        meaning = self._meaning(poll.raw.get(self._box.state))
        observed = self._observed(meaning, now)
        self._last["pilot"] = str(meaning.pilot)
        self._last["offered_ma"] = observed.offered_ma
        out: list[Observation] = self._readings(poll) if poll.values or poll.tags else []
        if self._worth_telling(observed):
            self._told = observed
            out.append(observed)
        return out

    def _observed(self, meaning: StateMeaning, now: Instant) -> ConnectorObserved:
        held = self._settings.known(self._box.limit)
        faults = {meaning.fault} if meaning.fault else set()
        if self._settings.refuses():
            faults.add(FaultCode.CONTROLLER)
        return ConnectorObserved(
            connector_id=self._connector_id,
            observed_at=now,
            pilot=meaning.pilot,
            contactor_closed=meaning.closed,
            locked=None,
            offered_ma=current_ma(self._limit, held or 0) if meaning.offers else 0,
            faults=frozenset(faults),
            host_lost=self._grant.expired_for_ms(now.mono_ms) is not None,
        )

    def _meaning(self, raw: float | str | None) -> StateMeaning:
        """An unknown state counts as closed: never claim "open" without knowing."""
        return self._box.states.get(str(raw), _UNKNOWN_STATE)

    def _worth_telling(self, new: ConnectorObserved) -> bool:
        old = self._told
        if old is None or new.observed_at.mono_ms - old.observed_at.mono_ms >= _TELL_MS:
            return True
        return (new.pilot, new.contactor_closed, new.offered_ma, new.faults, new.host_lost) != (
            old.pilot,
            old.contactor_closed,
            old.offered_ma,
            old.faults,
            old.host_lost,
        )

    def _desired(self, now_ms: int) -> dict[str, int]:
        """All settings in the order in which they matter: lower first, raise last."""
        box = self._box
        limit = self._raw_limit(now_ms)
        held = self._settings.holds(box.limit)
        lowering = limit is not None and (held is None or limit < held)
        out: dict[str, int] = {}
        if lowering and limit is not None:
            out[box.limit] = limit
        if dog := box.watchdog:
            out |= self._watchdog_settings(dog)
        out |= {each.name: each.value for each in box.setup}
        available = self._grant.available()
        if box.enable and available is not None:
            out[box.enable] = box.enable_on if available else box.enable_off
        if limit is not None:
            out.setdefault(box.limit, limit)
        return out

    def _watchdog_settings(self, dog: Watchdog) -> dict[str, int]:
        time = self.profile.register(dog.time)
        in_seconds = time.unit == "s"
        fail_safe = self._raw(self.profile.register(dog.fail_safe).name, self._fail_safe_ma)
        return {
            dog.time: dog.time_ms // 1000 if in_seconds else dog.time_ms,
            dog.fail_safe: fail_safe,
        }

    def _raw_limit(self, now_ms: int) -> int | None:
        limit_ma = self._grant.limit_ma(now_ms)
        return None if limit_ma is None else self._raw(self._box.limit, limit_ma)

    def _raw(self, name: str, limit_ma: int) -> int:
        """Below the smallest current that the device knows stands 0: no charging."""
        if limit_ma < self._box.limit_minimum_ma:
            return 0
        return raw_current(self.profile.register(name), limit_ma)

    def _limit_confirmed(self, now: Instant) -> bool:
        return self._settings.holds(self._box.limit) == self._raw_limit(now.mono_ms)

    def _feed_due_ms(self, now_ms: int) -> int | None:
        """When a watchdog that only certain writes feed wants its next one; none without grant."""
        dog = self._box.watchdog
        granted = self._grant.target and self._grant.expired_for_ms(now_ms) is None
        return self._feed_ms if dog and dog.feed != "any-request" and granted else None

    def _feed(self, now_ms: int) -> Action | None:
        due, dog, limit = self._feed_due_ms(now_ms), self._box.watchdog, self._raw_limit(now_ms)
        if due is None or due > now_ms or dog is None or limit is None:
            return None
        self._feed_ms = now_ms + dog.time_ms // 3
        if dog.feed == "register" and dog.feed_register is not None:
            return Write(dog.feed_register, dog.feed_value, proof=False)
        return Write(self._box.limit, limit)

    def _keep_fresh(self, now_ms: int) -> None:
        """Read the settings again now and then: a device may have been restarted meanwhile."""
        if now_ms >= self._verify_ms:
            self._verify_ms = now_ms + _VERIFY_MS
            self._settings.forget()

    def complaint(self) -> str:
        """Settings that it does not take."""
        names = self._settings.refuses()
        return f"does not take {', '.join(names)}" if names else ""


def _settings_of(box: Wallbox) -> list[str]:
    names = [box.limit, *(each.name for each in box.setup)]
    names += [box.enable] if box.enable else []
    if box.watchdog:
        names += [box.watchdog.time, box.watchdog.fail_safe]
        names += [box.watchdog.feed_register] if box.watchdog.feed_register else []
    return list(dict.fromkeys(names))
