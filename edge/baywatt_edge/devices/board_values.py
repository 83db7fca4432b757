"""Between the board's words and the house's: pure translations of the safety-board driver."""

from __future__ import annotations

from baywatt_bridge.host import Target
from baywatt_bridge.messages import ChannelReport, ParameterBlock
from baywatt_bridge.vocabulary import MIN_OFFER_MA, Fault, HostLoss, Lock
from baywatt_contract.clock import Instant
from baywatt_contract.observations import ConnectorObserved, ControlTarget, FaultCode, Pilot
from baywatt_contract.site_file import Connector

_FAULTS = {
    Fault.RESIDUAL_CURRENT: FaultCode.RESIDUAL_CURRENT,
    Fault.CONTACTOR_WELDED: FaultCode.CONTACTOR_WELDED,
    Fault.OVER_TEMPERATURE: FaultCode.OVER_TEMPERATURE,
    Fault.PILOT_SHORT: FaultCode.PILOT_SHORT,
    Fault.EMERGENCY_STOP: FaultCode.EMERGENCY_STOP,
    Fault.SELF_TEST_FAILED: FaultCode.SELF_TEST_FAILED,
    Fault.LOCK_FAILED: FaultCode.LOCK_FAILED,
    Fault.VENTILATION: FaultCode.VENTILATION,
    Fault.OVER_CURRENT: FaultCode.OVER_CURRENT,
    Fault.CONTROLLER: FaultCode.CONTROLLER,
}
_LOCKED = {Lock.NONE: None, Lock.LOCKED: True}


def parameters_for(fail_safe_ma: int) -> ParameterBlock:
    """The board's parameters for a site's fail-safe; below 6 A a pilot can only offer nothing."""
    return ParameterBlock(fail_safe_ma=fail_safe_ma if fail_safe_ma >= MIN_OFFER_MA else 0)


def observed(connector_id: int, report: ChannelReport, now: Instant) -> ConnectorObserved:
    """A channel's report as the house knows connectors; a latched fault is a fault."""
    return ConnectorObserved(
        connector_id=connector_id,
        observed_at=now,
        pilot=Pilot(chr(report.pilot)),
        contactor_closed=report.contactor_closed,
        locked=_LOCKED.get(report.lock, False),
        offered_ma=report.offered_ma,
        cable_max_ma=report.cable_max_ma or None,
        faults=fault_codes(report.faults | report.latched),
        host_lost=report.host_lost is not HostLoss.PRESENT,
    )


def fault_codes(faults: Fault) -> frozenset[FaultCode]:
    """The house's names of fault bits."""
    return frozenset(_FAULTS[bit] for bit in faults)


def target_for(
    connector: Connector, target: ControlTarget, fail_safe_ma: int, now_ms: int
) -> Target:
    """What the board is told now: once the grant has run out, not more than the fail-safe."""
    limit_ma = min(max(target.limit_ma, 0), connector.max_a * 1000)
    if now_ms >= target.grant_expires_mono_ms:
        limit_ma = min(limit_ma, fail_safe_ma)
    return Target(
        channel=connector.control_channel,
        permit=target.permit,
        limit_ma=limit_ma,
        phases=1 if target.phases == 1 else 3,
        available=target.available,
    )


def percentile_ms(samples: list[int], percent: int) -> float:
    """The nearest-rank percentile, 0 without samples."""
    if not samples:
        return 0.0
    return float(sorted(samples)[(len(samples) - 1) * percent // 100])
