"""TriggerMessage: the CSMS wants to hear something now (1.6 section 5.17)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from baywatt_contract.clock import Instant
from baywatt_contract.events import SampleContext
from baywatt_contract.house import ConnectorView
from baywatt_contract.site_file import Connector
from baywatt_edge.ocpp.frames import Json
from baywatt_edge.ocpp.outbox import Outbox, Outgoing
from baywatt_edge.ocpp.v16.config import Config
from baywatt_edge.ocpp.v16.heartbeat import Heartbeat
from baywatt_edge.ocpp.v16.ledger import UNKNOWN_TRANSACTION, Ledger, phases_of
from baywatt_edge.ocpp.v16.measurands import Sample, meter_value
from baywatt_edge.ocpp.v16.registration import Registration, Standing
from baywatt_edge.ocpp.v16.status import StatusBoard

Verdict = tuple[str, Callable[[], None]]


def _nothing() -> None:
    """For messages that will not be sent."""


_REJECTED: Verdict = ("Rejected", _nothing)
_NOT_IMPLEMENTED: Verdict = ("NotImplemented", _nothing)


@dataclass(frozen=True, slots=True)
class Trigger:
    """Judges a request and queues what it asks for."""

    connectors: Sequence[Connector]
    config: Config
    ledger: Ledger
    registration: Registration
    outbox: Outbox
    views: Callable[[], Mapping[int, ConnectorView]]
    heartbeat: Heartbeat
    status: StatusBoard

    def judge(self, message: str, number: int | None, now: Instant) -> Verdict:
        """The status to answer, and what to do after the answer has been written."""
        if message == "BootNotification":
            return self._boot()
        if message == "Heartbeat":
            return "Accepted", lambda: self.heartbeat.queue(triggered=True)
        if message == "StatusNotification":
            return self._status(number)
        if message == "MeterValues":
            return self._meter_values(number, now)
        return _NOT_IMPLEMENTED

    def _boot(self) -> Verdict:
        """Refused once accepted (errata 3.35)."""
        if self.registration.standing is Standing.ACCEPTED:
            return _REJECTED
        return "Accepted", self.registration.boot_now

    def _status(self, number: int | None) -> Verdict:
        known = [0, *(each.evse for each in self.connectors)]
        if number is not None and number not in known:
            return _REJECTED
        numbers = known if number is None else [number]

        def queue() -> None:
            for each in numbers:
                self.status.queue(each, self.outbox, triggered=True)

        return "Accepted", queue

    def _meter_values(self, number: int | None, now: Instant) -> Verdict:
        payloads = [
            payload
            for each in self.connectors
            if number in {None, each.evse} and (payload := self._payload(each, now)) is not None
        ]
        if not payloads:
            return _REJECTED

        def queue() -> None:
            for payload in payloads:
                self.outbox.put(Outgoing("MeterValues", _constant(payload), triggered=True))

        return "Accepted", queue

    def _payload(self, connector: Connector, now: Instant) -> Json | None:
        """The most recent measurements; None when the connector has none."""
        view = self.views().get(connector.id)
        if view is None or view.register_wh is None:
            return None
        sample = Sample(
            utc_ms=now.utc_ms,
            context=SampleContext.TRIGGER,
            phases=phases_of(connector),
            energy_wh=view.register_wh,
            power_w=view.power_w,
            current_ma=view.current_ma,
            voltage_mv=view.voltage_mv,
            offered_ma=view.offered_ma,
        )
        value = meter_value(sample, self.config.items("MeterValuesSampledData"))
        if value is None:
            return None
        payload: Json = {"connectorId": connector.evse, "meterValue": [value]}
        if (number := self._transaction_id(view)) is not None:
            payload["transactionId"] = number
        return payload

    def _transaction_id(self, view: ConnectorView) -> int | None:
        """None without a transaction, or while its StartTransaction still waits."""
        known = self.ledger.transaction_of(view.session) if view.session else None
        if known is None or not view.charging or not known.started:
            return None
        number = known.transaction_id
        return UNKNOWN_TRANSACTION if number is None else number


def _constant(payload: Json) -> Callable[[Instant], Json]:
    return lambda _now: payload
