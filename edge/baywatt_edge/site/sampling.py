"""Which readings are kept: billing-grade samples, telemetry, and what the limits were."""

from __future__ import annotations

from dataclasses import replace

from baywatt_contract import events as ev
from baywatt_contract.events import SampleContext
from baywatt_contract.observations import MeterReading, Pilot, Quality, Quantity
from baywatt_contract.site_file import Connector
from baywatt_edge.site.draft import Draft
from baywatt_edge.site.live import put
from baywatt_edge.site.state import Session, elapsed_ms

_LIMIT_STEP_MA = 1000


def settle(draft: Draft, connector: Connector) -> None:
    """Take a MeterSampled when the interval, or the clock, says so."""
    session = draft.state.connector(connector.id).session
    if session is None or not session.charging or session.stopping is not None:
        return
    due = _due_mono_ms(draft, session)
    if due is None:
        return
    context, due_ms = due
    reading = draft.live.readings.get(draft.rules.meter_of(connector))
    if draft.now.mono_ms < due_ms:
        draft.wake_at(due_ms)
        return
    energy = None if reading is None else _fresh_energy(draft, reading, session, due_ms)
    if reading is None or energy is None:
        draft.wake_at(draft.now.mono_ms + 1000)
        return
    draft.record(_sample(draft, connector, session, reading, energy, context))


def telemetry(draft: Draft, reading: MeterReading) -> None:
    """Class B: power of connectors in use and of the supply, every ten seconds."""
    if reading.quality is not Quality.GOOD:
        return
    if reading.device_id == draft.rules.file.supply.meter:
        if _series_due(draft, "supply"):
            draft.record(
                ev.SupplySampled(power_w=reading.power_w or 0, current_ma=reading.current_ma)
            )
        return
    for connector in draft.rules.file.connectors:
        if draft.rules.meter_of(connector) != reading.device_id:
            continue
        session = draft.state.connector(connector.id).session
        if session is not None and _series_due(draft, f"connector-{connector.id}"):
            draft.record(_power(draft, connector, session, reading))


def limits_changed(draft: Draft) -> None:
    """Record what a connector with a session may draw, and by which rule, when it matters."""
    for connector_id, grant in sorted(draft.live.grants.items()):
        state = draft.state.connector(connector_id)
        if state.session is None or state.session.end_wh is not None:
            continue
        moved = abs(grant.limit_ma - state.limit_ma) >= _LIMIT_STEP_MA
        zero = (grant.limit_ma == 0) != (state.limit_ma == 0)
        if moved or zero or grant.rule != state.limit_rule:
            draft.record(
                ev.LimitChanged(
                    connector=connector_id,
                    session=state.session.id,
                    limit_ma=grant.limit_ma,
                    rule=grant.rule,
                    reason=grant.reason,
                )
            )


def _due_mono_ms(draft: Draft, session: Session) -> tuple[SampleContext, int] | None:
    """The next sample's context and moment on this boot's monotonic clock."""
    due: list[tuple[int, SampleContext]] = []
    last = session.sampled_at or draft.now
    since_ms = elapsed_ms(last, draft.now)
    if interval_ms := draft.live.sample_interval_s * 1000:
        due.append((draft.now.mono_ms + interval_ms - since_ms, SampleContext.PERIODIC))
    if aligned_ms := draft.live.sample_aligned_s * 1000:
        next_utc_ms = (last.utc_ms // aligned_ms + 1) * aligned_ms
        due.append((draft.now.mono_ms + next_utc_ms - draft.now.utc_ms, SampleContext.CLOCK))
    if not due:
        return None
    moment, context = min(due)
    return context, moment


def _fresh_energy(draft: Draft, reading: MeterReading, session: Session, due_ms: int) -> int | None:
    """The register, when it was read at or after the due moment and did not run backwards."""
    age_ms = elapsed_ms(reading.measured_at, draft.now)
    read_before_due = reading.measured_at.mono_ms < due_ms - draft.rules.stale_after_ms // 4
    if age_ms > draft.rules.stale_after_ms or read_before_due:
        return None
    energy = reading.energy_wh
    return energy if energy is not None and energy >= (session.last_wh or 0) else None


def _sample(
    draft: Draft,
    connector: Connector,
    session: Session,
    reading: MeterReading,
    energy_wh: int,
    context: SampleContext,
) -> ev.MeterSampled:
    seen = draft.live.observed.get(connector.id)
    return ev.MeterSampled(
        session=session.id,
        connector=connector.id,
        energy_wh=energy_wh,
        power_w=reading.power_w or 0,
        current_ma=reading.current_ma,
        voltage_mv=_voltages(reading),
        offered_ma=seen.offered_ma if seen is not None else 0,
        context=context,
        vehicle_requests=seen is None or seen.pilot in {Pilot.C, Pilot.D},
    )


def _voltages(reading: MeterReading) -> tuple[int, int, int] | None:
    values = reading.values
    if Quantity.VOLTAGE_L1_MV not in values:
        return None
    return (
        values[Quantity.VOLTAGE_L1_MV],
        values.get(Quantity.VOLTAGE_L2_MV, 0),
        values.get(Quantity.VOLTAGE_L3_MV, 0),
    )


def _power(
    draft: Draft, connector: Connector, session: Session, reading: MeterReading
) -> ev.PowerSampled:
    seen = draft.live.observed.get(connector.id)
    return ev.PowerSampled(
        connector=connector.id,
        session=session.id,
        energy_wh=reading.energy_wh,
        power_w=reading.power_w or 0,
        current_ma=reading.current_ma,
        offered_ma=seen.offered_ma if seen is not None else 0,
    )


def _series_due(draft: Draft, series: str) -> bool:
    last = draft.live.power_sampled.get(series)
    now_ms = draft.now.mono_ms
    if last is not None and now_ms - last < draft.rules.power_sample_ms:
        return False
    sampled = put(draft.live.power_sampled, series, now_ms)
    draft.live = replace(draft.live, power_sampled=sampled)
    return True
