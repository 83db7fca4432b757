"""When a transaction begins and ends: level-triggered, so a restart at any step just goes on.

begin: authorised, plugged, register read  →  ChargingStarted  →  contactor permitted
end:   stop asked, contactor confirmed open, register read  →  ChargingStopped  →  unplugged
"""

from __future__ import annotations

from baywatt_contract import events as ev
from baywatt_contract.clock import Instant
from baywatt_contract.events import StartSource, StopReason
from baywatt_contract.observations import FaultCode, MeterReading, Pilot
from baywatt_contract.site_file import Connector
from baywatt_contract.wishes import Outcome, StopWish
from baywatt_edge.site.draft import Draft
from baywatt_edge.site.state import Session, elapsed_ms

_PLUGGED = frozenset({Pilot.B, Pilot.C, Pilot.D})
_ENDING_FAULTS = {
    FaultCode.RESIDUAL_CURRENT: StopReason.OTHER,
    FaultCode.CONTACTOR_WELDED: StopReason.OTHER,
    FaultCode.OVER_TEMPERATURE: StopReason.OTHER,
    FaultCode.PILOT_SHORT: StopReason.OTHER,
    FaultCode.EMERGENCY_STOP: StopReason.EMERGENCY_STOP,
    FaultCode.SELF_TEST_FAILED: StopReason.OTHER,
}
_MAX_JUMP_WH_PER_MS = 0.12  # 432 kW: more than any connector here; a register beyond it is wrong


def settle(draft: Draft, connector: Connector) -> None:
    """Take the connector's session as far as what is known allows."""
    session = draft.state.connector(connector.id).session
    if session is None:
        return
    if session.begin_wh is None:
        _before(draft, connector, session)
    elif session.end_wh is None:
        _during(draft, connector, session)
    session = draft.state.connector(connector.id).session
    if session is not None and session.end_wh is not None:
        _after(draft, connector, session)


def stop(draft: Draft, wish: StopWish) -> None:
    """A wish to end a session, found by its id or by its connector."""
    if wish.wish_id in draft.state.wishes:
        known = draft.state.wishes[wish.wish_id]
        draft.answer(Outcome(accepted=True, reason="done before", session=known))
        return
    session = _find(draft, wish)
    if session is None:
        draft.answer(Outcome(accepted=False, reason="no such session runs here"))
        return
    ask_to_stop(draft, session, wish.reason, wish.source, command_id=wish.wish_id)
    draft.answer(Outcome(accepted=True, session=session.id, connector_id=session.connector_id))


def ask_to_stop(
    draft: Draft,
    session: Session,
    reason: StopReason,
    source: StartSource | None = None,
    *,
    token: str | None = None,
    command_id: str | None = None,
) -> None:
    """Record that the session shall end; the first reason given stays."""
    if session.stopping is not None:
        return
    draft.record(
        ev.SessionStopping(
            session=session.id,
            connector=session.connector_id,
            reason=reason,
            source=source,
            token=token,
            command_id=command_id,
        )
    )


def permits(session: Session | None) -> bool:
    """Whether the contactor may close for this session."""
    return session is not None and session.charging and session.stopping is None


def _find(draft: Draft, wish: StopWish) -> Session | None:
    if wish.session is not None:
        return draft.state.session(wish.session)
    if wish.connector_id is not None:
        return draft.state.connector(wish.connector_id).session
    return None


def _before(draft: Draft, connector: Connector, session: Session) -> None:
    """Authorised, no transaction yet."""
    if session.stopping is not None:
        _end(draft, session, "ended before charging began")
        return
    if not _plugged(draft, connector):
        waited = elapsed_ms(session.authorised_at, draft.now)
        left = draft.rules.connection_timeout_ms - waited
        if left <= 0:
            _end(draft, session, "nobody plugged in in time")
        else:
            draft.wake_at(draft.now.mono_ms + left)
        return
    seen = draft.live.observed[connector.id]
    if seen.contactor_closed:
        return  # the register must be read before the contactor closes; a weld check will tell
    tag = f"begin:{session.id}"
    reading = draft.live.tagged.get(tag)
    if reading is not None and reading.energy_wh is not None:
        draft.record(
            ev.ChargingStarted(
                session=session.id,
                connector=connector.id,
                energy_wh=reading.energy_wh,
                meter=reading.device_id,
                token=session.token,
                booking_id=session.booking_id,
            )
        )
    elif not draft.read_meter(draft.rules.meter_of(connector), tag):
        _end(draft, session, "the meter does not answer: nothing can be billed, so nothing flows")


def _during(draft: Draft, connector: Connector, session: Session) -> None:
    """The transaction is open."""
    if session.stopping is None:
        if reason := _own_reason_to_stop(draft, connector):
            ask_to_stop(draft, session, reason)
            session = draft.state.connector(connector.id).session or session
        else:
            return
    tag = f"end:{session.id}"
    stopping_at = session.stopping_at or draft.now
    if not _confirmed_open(draft, connector, stopping_at):
        draft.forget_reading(tag)
        waited = elapsed_ms(stopping_at, draft.now)
        if waited >= draft.rules.contactor_patience_ms:
            _stop_estimated(draft, session)
        else:
            draft.wake_at(draft.now.mono_ms + draft.rules.contactor_patience_ms - waited)
        return
    reading = draft.live.tagged.get(tag)
    if reading is not None and _usable_end(reading, session):
        _stopped(draft, session, reading.energy_wh or 0, estimated=False)
    elif not draft.read_meter(draft.rules.meter_of(connector), tag):
        _stop_estimated(draft, session)


def _confirmed_open(draft: Draft, connector: Connector, since: Instant) -> bool:
    """Seen open, after the stop, by a controller that can't close again: no more can flow."""
    seen = draft.live.observed.get(connector.id)
    if seen is None or seen.contactor_closed:
        return False
    after = seen.observed_at.boot != since.boot or seen.observed_at.mono_ms >= since.mono_ms
    return after and (seen.offered_ma == 0 or seen.pilot is Pilot.A)


def _own_reason_to_stop(draft: Draft, connector: Connector) -> StopReason | None:
    for fault in sorted(draft.state.connector(connector.id).faults):
        if fault in _ENDING_FAULTS:
            return _ENDING_FAULTS[fault]
    seen = draft.live.observed.get(connector.id)
    if seen is not None and seen.pilot is Pilot.A:
        return StopReason.EV_DISCONNECTED
    return None


def _usable_end(reading: MeterReading, session: Session) -> bool:
    """A register that went backwards or leapt is no end: ask again, then estimate."""
    begin, energy = session.begin_wh or 0, reading.energy_wh
    if energy is None or energy < begin or energy < (session.last_wh or begin):
        return False
    began = session.begin_at or reading.measured_at
    return energy - begin <= 1000 + _MAX_JUMP_WH_PER_MS * elapsed_ms(began, reading.measured_at)


def _stop_estimated(draft: Draft, session: Session) -> None:
    """The meter stays silent: the last good register in the session's favour."""
    last = session.last_wh if session.last_wh is not None else session.begin_wh
    _stopped(draft, session, last or 0, estimated=True)


def _stopped(draft: Draft, session: Session, energy_wh: int, *, estimated: bool) -> None:
    began = session.begin_at or draft.now
    draft.record(
        ev.ChargingStopped(
            session=session.id,
            connector=session.connector_id,
            energy_wh=energy_wh,
            reason=session.stopping or StopReason.OTHER,
            token=session.stop_token,
            duration_ms=elapsed_ms(began, draft.now),
            estimated=estimated,
        )
    )


def _after(draft: Draft, connector: Connector, session: Session) -> None:
    """Stopped: the visit ends when the plug is out."""
    seen = draft.live.observed.get(connector.id)
    if seen is not None and seen.pilot is Pilot.A:
        _end(draft, session, "unplugged")


def _end(draft: Draft, session: Session, reason: str) -> None:
    draft.record(ev.SessionEnded(session=session.id, connector=session.connector_id, reason=reason))


def _plugged(draft: Draft, connector: Connector) -> bool:
    seen = draft.live.observed.get(connector.id)
    return seen is not None and seen.pilot in _PLUGGED
