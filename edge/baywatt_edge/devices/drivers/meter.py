"""A meter: every poll becomes a MeterReading."""

from __future__ import annotations

from baywatt_contract.clock import Instant
from baywatt_contract.observations import Observation
from baywatt_edge.devices.drivers.base import PolledDriver
from baywatt_edge.devices.polling import Poll


class MeterDriver(PolledDriver):
    """Emits a reading per poll, and one per demand with its tag."""

    def complete(self, poll: Poll, now: Instant) -> list[Observation]:
        """All values of the poll, measured when its first request left."""
        if poll.invalid:
            self._link.ok(now, f"implausible: {', '.join(poll.invalid[:3])}")
        return self._readings(poll)
