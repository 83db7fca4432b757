"""What flows beside the connectors: grid meter minus connector meters, with their lag in mind."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from baywatt_contract.observations import MeterReading, Quality

STALE_AFTER_MS = 5_000
_WINDOW = 5

PhaseCurrents = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class ConnectorCurrent:
    """A connector's last currents, turned onto the grid's phases, and when they were measured."""

    current_ma: PhaseCurrents
    measured_mono_ms: int


class SupplyEstimator:
    """Other load per phase as the upper median of the last five estimates.

    Meters are read one after the other while vehicles ramp, so a single difference can be wrong by
    a ramp's height in either direction. Three things bound that: a grid reading is paired only with
    connector readings taken after it (a fraction of a second, not a whole round); what was not read
    since counts as other load; and the median needs three of five to follow. While fewer than five
    are known the greatest counts. A real change is followed within three readings, far sooner than
    any fuse cares.
    """

    def __init__(self, grid_meter: str | None) -> None:
        self._grid_meter = grid_meter
        self._estimates: deque[PhaseCurrents] = deque(maxlen=_WINDOW)
        self._pending: MeterReading | None = None
        self._measured_mono_ms: int | None = None
        self.supply_ma: PhaseCurrents = (0, 0, 0)

    @property
    def metered(self) -> bool:
        """Whether the site has a grid meter at all."""
        return self._grid_meter is not None

    def observe(self, reading: MeterReading, connectors: Sequence[ConnectorCurrent]) -> None:
        """Any meter's reading, with each connector's newest currents (this reading included)."""
        if reading.quality is not Quality.GOOD:
            return
        if reading.device_id == self._grid_meter:
            if self._pending is not None:
                self._estimate(self._pending, connectors)  # somebody was not read in between
            self._pending = reading
            self.supply_ma = reading.current_ma
            self._measured_mono_ms = reading.measured_at.mono_ms
        grid = self._pending
        if grid is not None and all(_is_after(each, grid) for each in connectors):
            self._estimate(grid, connectors)
            self._pending = None

    def _estimate(self, grid: MeterReading, connectors: Sequence[ConnectorCurrent]) -> None:
        read_since = [each.current_ma for each in connectors if _is_after(each, grid)]
        one, two, three = (
            max(0, grid.current_ma[phase] - sum(each[phase] for each in read_since))
            for phase in range(3)
        )
        self._estimates.append((one, two, three))

    def other_load_ma(self, now_mono_ms: int) -> PhaseCurrents | None:
        """The estimate per phase; None without a meter or when its last reading is stale."""
        if self._measured_mono_ms is None or not self._estimates:
            return None
        if now_mono_ms - self._measured_mono_ms > STALE_AFTER_MS:
            return None
        one, two, three = (self._phase(phase) for phase in range(3))
        return one, two, three

    def _phase(self, phase: int) -> int:
        ordered = sorted(each[phase] for each in self._estimates)
        return ordered[len(ordered) // 2] if len(ordered) == _WINDOW else ordered[-1]


def _is_after(each: ConnectorCurrent, grid: MeterReading) -> bool:
    return each.measured_mono_ms >= grid.measured_at.mono_ms
