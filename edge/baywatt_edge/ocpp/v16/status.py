"""What the CSMS has been told of each connector, and what it must still be told (1.6, 4.9)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from baywatt_contract.clock import Instant, format_utc_ms
from baywatt_contract.events import ConnectorStatus
from baywatt_contract.house import ConnectorView
from baywatt_contract.observations import FaultCode
from baywatt_contract.site_file import Connector
from baywatt_edge.ocpp.frames import Json
from baywatt_edge.ocpp.outbox import Outbox, Outgoing
from baywatt_edge.ocpp.rpc import Failure, FailureKind

ERROR_CODES: Mapping[FaultCode, str] = {
    FaultCode.RESIDUAL_CURRENT: "GroundFailure",
    FaultCode.CONTACTOR_WELDED: "PowerSwitchFailure",
    FaultCode.OVER_TEMPERATURE: "HighTemperature",
    FaultCode.PILOT_SHORT: "EVCommunicationError",
    FaultCode.EMERGENCY_STOP: "OtherError",
    FaultCode.SELF_TEST_FAILED: "InternalError",
    FaultCode.LOCK_FAILED: "ConnectorLockFailure",
    FaultCode.VENTILATION: "OtherError",
    FaultCode.CONTROLLER: "InternalError",
    FaultCode.SILENT: "InternalError",
    FaultCode.METER_SILENT: "PowerMeterFailure",
    FaultCode.METER_IMPLAUSIBLE: "PowerMeterFailure",
    FaultCode.OVER_CURRENT: "OverCurrentFailure",
}
_REACHED = frozenset({FailureKind.REFUSED, FailureKind.MALFORMED})
_SEVERITY = {code: rank for rank, code in enumerate(FaultCode)}


@dataclass(frozen=True, slots=True)
class Report:
    """One status as it would be sent; equal reports are not sent twice."""

    status: ConnectorStatus
    error_code: str = "NoError"
    info: str = ""
    vendor_error_code: str = ""

    def request(self, connector_id: int, now: Instant) -> Json:
        """StatusNotification.req."""
        payload: Json = {
            "connectorId": connector_id,
            "errorCode": self.error_code,
            "status": self.status.value,
            "timestamp": format_utc_ms(now.utc_ms),
        }
        if self.info:
            payload["info"] = self.info
        if self.vendor_error_code:
            payload["vendorErrorCode"] = self.vendor_error_code
        return payload


def report_of(view: ConnectorView) -> Report:
    """A connector's report; the gravest fault gives the error code."""
    if not view.faults:
        return Report(view.status)
    fault = min(view.faults, key=lambda each: _SEVERITY[each])
    return Report(view.status, ERROR_CODES[fault], view.reason[:50], fault.value[:50])


def report_of_station(views: Iterable[ConnectorView]) -> Report:
    """Connector 0 is only Available, Unavailable or Faulted (4.9)."""
    each = list(views)
    if each and all(view.status is ConnectorStatus.FAULTED for view in each):
        return Report(ConnectorStatus.FAULTED, "OtherError", "every connector is faulted")
    if each and not any(view.operative for view in each):
        return Report(ConnectorStatus.UNAVAILABLE)
    return Report(ConnectorStatus.AVAILABLE)


@dataclass(slots=True)
class _Line:
    seen: Report
    seen_mono_ms: int
    told: Report | None = None
    under_way: bool = False


@dataclass(slots=True)
class StatusBoard:
    """Connector 0 and all connectors of a station, by their OCPP numbers."""

    connectors: Sequence[Connector]
    _lines: dict[int, _Line] = field(default_factory=dict)

    def look(self, views: Mapping[int, ConnectorView], now: Instant) -> None:
        """Take in how the connectors stand; `views` by the site's ids."""
        own = [views[each.id] for each in self.connectors if each.id in views]
        self._see(0, report_of_station(own), now)
        for each in self.connectors:
            if each.id in views:
                self._see(each.evse, report_of(views[each.id]), now)

    def due(self, minimum_ms: int, now: Instant) -> list[int]:
        """Connectors whose news has been stable for `minimum_ms`; a first report never waits."""
        return [
            number
            for number, line in sorted(self._lines.items())
            if self._has_news(line)
            and (line.told is None or now.mono_ms - line.seen_mono_ms >= minimum_ms)
        ]

    def next_due_ms(self, minimum_ms: int) -> int | None:
        """When `due` will say more, if nothing changes until then."""
        waiting = [
            line.seen_mono_ms + minimum_ms
            for line in self._lines.values()
            if self._has_news(line) and line.told is not None
        ]
        return min(waiting, default=None)

    def queue(self, number: int, outbox: Outbox, *, triggered: bool = False) -> None:
        """Queue a report; the newest state is taken when it is sent."""
        line = self._lines.get(number)
        if line is None:
            return
        told: list[Report] = []

        def request(now: Instant) -> Json:
            told.append(line.seen)
            return line.seen.request(number, now)

        def answered(outcome: Json | Failure, _now: Instant) -> None:
            line.under_way = False
            if told and (not isinstance(outcome, Failure) or outcome.kind in _REACHED):
                line.told = told[-1]

        line.under_way = True
        outbox.put(Outgoing("StatusNotification", request, answered, triggered=triggered))

    def forget_told(self) -> None:
        """After a boot everything is news (1.6 errata 3.22)."""
        for line in self._lines.values():
            line.told = None

    @staticmethod
    def _has_news(line: _Line) -> bool:
        return not line.under_way and line.told != line.seen

    def _see(self, number: int, report: Report, now: Instant) -> None:
        line = self._lines.get(number)
        if line is None:
            self._lines[number] = _Line(report, now.mono_ms)
        elif line.seen != report:
            line.seen, line.seen_mono_ms = report, now.mono_ms
