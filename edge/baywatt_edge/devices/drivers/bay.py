"""A bay sensor: distances become one of four states, debounced; stale is never "free"."""

from __future__ import annotations

from collections.abc import Sequence

from baywatt_contract.clock import Instant
from baywatt_contract.observations import BayObserved, BayState, Observation, Quantity
from baywatt_contract.site_file import Device
from baywatt_edge.devices.drivers.base import PolledDriver
from baywatt_edge.devices.errors import ProfileError
from baywatt_edge.devices.polling import Poll
from baywatt_edge.devices.profile import BaySensing, Profile


class BaySense:
    """The state model behind any distance sensor, pure."""

    def __init__(self, sensing: BaySensing) -> None:
        self._sensing = sensing
        self.state = BayState.UNKNOWN
        self._candidate = BayState.UNKNOWN
        self._since_ms = 0
        self._heard_ms: int | None = None

    def measured(self, distance_mm: int | None, now_ms: int) -> bool:
        """A measurement arrived (None: the sensor answered without one); whether it changed."""
        self._heard_ms = now_ms
        seen = self._seen(distance_mm)
        if seen is not self._candidate:
            self._candidate, self._since_ms = seen, now_ms
        if seen is self.state:
            return False
        at_once = self.state is BayState.UNKNOWN and seen is not BayState.FAULT
        if not at_once and now_ms - self._since_ms < self._sensing.debounce_ms:
            return False
        self.state = seen
        return True

    def _seen(self, distance_mm: int | None) -> BayState:
        if distance_mm is None:
            return BayState.FAULT
        if distance_mm < self._sensing.occupied_below_mm:
            return BayState.OCCUPIED
        if distance_mm > self._sensing.vacant_above_mm:
            return BayState.VACANT
        # Between the thresholds nothing changes; a sensor that begins there sees something near.
        known = self.state in (BayState.OCCUPIED, BayState.VACANT)
        return self.state if known else BayState.OCCUPIED

    def aged(self, now_ms: int) -> bool:
        """Whether silence just made the state unknown."""
        if self._heard_ms is None or self.state is BayState.UNKNOWN:
            return False
        if now_ms - self._heard_ms < self._sensing.stale_ms:
            return False
        self.state = self._candidate = BayState.UNKNOWN
        return True


class BayDriver(PolledDriver):
    """Emits BayObserved for each bay that the sensor watches."""

    def __init__(self, device: Device, profile: Profile, bays: Sequence[str]) -> None:
        super().__init__(device, profile)
        if profile.bay is None:
            raise ProfileError(f"device {device.id!r}: {profile.id} is no bay sensor")
        self._bays = tuple(bays)
        self._sense = BaySense(profile.bay)

    def complete(self, poll: Poll, now: Instant) -> list[Observation]:
        """The distance may have changed the bay."""
        distance = poll.values.get(Quantity.DISTANCE_MM)
        changed = self._sense.measured(distance, now.mono_ms)
        self._last["state"] = str(self._sense.state)
        return self._observed(now) if changed else []

    def tick(self, now: Instant) -> Sequence[Observation]:
        """Silence makes the bay unknown."""
        out = list(super().tick(now))
        if self._sense.aged(now.mono_ms):
            self._last["state"] = str(self._sense.state)
            out += self._observed(now)
        return out

    def _observed(self, now: Instant) -> list[Observation]:
        return [BayObserved(bay, self._sense.state, now) for bay in self._bays]
