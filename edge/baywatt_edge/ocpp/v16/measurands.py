"""From readings to SampledValues (1.6 sections 3.16 and 7.43)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from baywatt_contract.clock import format_utc_ms
from baywatt_contract.events import SampleContext
from baywatt_edge.ocpp.frames import Json

ENERGY = "Energy.Active.Import.Register"
POWER = "Power.Active.Import"
CURRENT = "Current.Import"
OFFERED = "Current.Offered"
VOLTAGE = "Voltage"
_PLAIN = (ENERGY, POWER, CURRENT, OFFERED, VOLTAGE)
_PER_PHASE = tuple(
    f"{measurand}.L{phase}" for measurand in (CURRENT, VOLTAGE) for phase in (1, 2, 3)
)
SUPPORTED = frozenset({*_PLAIN, *_PER_PHASE})
"""Every item that a measurand list of the configuration may hold."""

MAX_ITEMS = len(_PLAIN) + len(_PER_PHASE)


@dataclass(frozen=True, slots=True)
class Sample:
    """What was measured at one moment; None where there was no reading.

    `phases` is how many phases the outlet has, 0 for direct current.
    """

    utc_ms: int
    context: SampleContext
    phases: int
    energy_wh: int | None = None
    power_w: int | None = None
    current_ma: Sequence[int] | None = None
    voltage_mv: Sequence[int] | None = None
    offered_ma: int | None = None


def split_list(value: str) -> list[str]:
    """The items of a comma separated list; an empty text is an empty list."""
    return [item.strip() for item in value.split(",") if item.strip()]


def meter_value(sample: Sample, measurands: Sequence[str]) -> Json | None:
    """A MeterValue with the measurands that the sample has; None when it has none of them."""
    values = [
        {**value, "context": sample.context.value}
        for measurand in measurands
        for value in _values(sample, measurand)
    ]
    if not values:
        return None
    return {"timestamp": format_utc_ms(sample.utc_ms), "sampledValue": values}


def _values(sample: Sample, item: str) -> Iterator[Json]:
    measurand, phase = _split_phase(item)
    if measurand == ENERGY and sample.energy_wh is not None:
        yield _value(str(sample.energy_wh), ENERGY, "Wh")
    elif measurand == POWER and sample.power_w is not None:
        yield _value(str(sample.power_w), POWER, "W")
    elif measurand == OFFERED and sample.offered_ma is not None:
        yield _value(_thousandth(sample.offered_ma), OFFERED, "A")
    elif measurand == CURRENT and sample.current_ma is not None:
        yield from _phases(sample.phases, sample.current_ma, (CURRENT, "A", "L{}"), phase)
    elif measurand == VOLTAGE and sample.voltage_mv is not None:
        yield from _phases(sample.phases, sample.voltage_mv, (VOLTAGE, "V", "L{}-N"), phase)


def _split_phase(item: str) -> tuple[str, int | None]:
    if item in _PER_PHASE:
        measurand, _, phase = item.rpartition(".L")
        return measurand, int(phase)
    return item, None


def _phases(
    phases: int, values: Sequence[int], kind: tuple[str, str, str], only: int | None
) -> Iterator[Json]:
    """All phases of the outlet, as 3.16.3 asks; direct current has none to name."""
    measurand, unit, name = kind
    if phases == 0:
        if only is None:
            yield _value(_thousandth(values[0]), measurand, unit)
        return
    for phase in range(1, phases + 1):
        if only in {None, phase}:
            value = _value(_thousandth(values[phase - 1]), measurand, unit)
            yield {**value, "phase": name.format(phase)}


def _value(value: str, measurand: str, unit: str) -> Json:
    return {"value": value, "measurand": measurand, "unit": unit}


def _thousandth(value: int) -> str:
    """15980 → "15.98"; exact, because a meter's digits are evidence."""
    sign, whole, rest = "-" if value < 0 else "", abs(value) // 1000, abs(value) % 1000
    return f"{sign}{whole}.{rest:03d}".rstrip("0").rstrip(".")
