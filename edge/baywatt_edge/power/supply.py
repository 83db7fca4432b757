"""What flows beside the connectors: grid meter minus connector meters, with their lag in mind."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from baywatt_contract.observations import MeterReading, Quality

STALE_AFTER_MS = 5_000
_WINDOW = 3


class SupplyEstimator:
    """Other load per phase as the least of the last three estimates.

    Grid and connector meters are read at different moments, so while a vehicle ramps up its
    current seems to be other load for a reading or two; the least of three sees through that.
    """

    def __init__(self, grid_meter: str | None) -> None:
        self._grid_meter = grid_meter
        self._estimates: deque[tuple[int, int, int]] = deque(maxlen=_WINDOW)
        self._measured_mono_ms: int | None = None
        self.supply_ma: tuple[int, int, int] = (0, 0, 0)

    @property
    def metered(self) -> bool:
        """Whether the site has a grid meter at all."""
        return self._grid_meter is not None

    def observe(self, reading: MeterReading, connectors_ma: Iterable[tuple[int, int, int]]) -> None:
        """A reading of the grid meter, with each connector's currents on the grid's phases."""
        if reading.device_id != self._grid_meter or reading.quality is not Quality.GOOD:
            return
        per_connector = list(connectors_ma)
        self.supply_ma = reading.current_ma
        cars = tuple(sum(each[phase] for each in per_connector) for phase in range(3))
        one, two, three = (max(0, reading.current_ma[p] - cars[p]) for p in range(3))
        self._estimates.append((one, two, three))
        self._measured_mono_ms = reading.measured_at.mono_ms

    def other_load_ma(self, now_mono_ms: int) -> tuple[int, int, int] | None:
        """The estimate per phase; None without a meter or when its last reading is stale."""
        if self._measured_mono_ms is None or not self._estimates:
            return None
        if now_mono_ms - self._measured_mono_ms > STALE_AFTER_MS:
            return None
        one, two, three = (min(each[phase] for each in self._estimates) for phase in range(3))
        return one, two, three
