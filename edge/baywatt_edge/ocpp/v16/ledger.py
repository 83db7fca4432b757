"""Journal rows become transaction messages; what the CSMS answered is kept per session.

The state is one journal document. It is written together with the cursor, so a restart at any
moment finds both before, or both after, an answered message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from baywatt_contract.clock import ClockQuality, Instant, format_utc_ms
from baywatt_contract.events import (
    Authority,
    ChargingStarted,
    ChargingStopped,
    MeterSampled,
    Payload,
    SampleContext,
    SessionAuthorised,
    SessionEnded,
    StopReason,
)
from baywatt_contract.site_file import Connector
from baywatt_edge.ocpp.frames import Json
from baywatt_edge.ocpp.v16.config import Config
from baywatt_edge.ocpp.v16.measurands import Sample, meter_value

UNKNOWN_TRANSACTION = -1
"""On the wire only (1.6 errata 3.18): a CSMS may give any number, this one too."""

RELEVANT = frozenset(
    cls.type_name()
    for cls in (SessionAuthorised, ChargingStarted, MeterSampled, ChargingStopped, SessionEnded)
)
MAX_STOP_SAMPLES = 60


class Row(Protocol):
    """What the ledger reads of a journal row."""

    @property
    def seq(self) -> int:
        """The row's place."""
        ...

    @property
    def type(self) -> str:
        """The payload's type name."""
        ...

    @property
    def at(self) -> Instant:
        """When it happened."""
        ...

    def payload(self) -> Payload | None:
        """The typed payload."""
        ...


class StopSample(msgspec.Struct, frozen=True, array_like=True):
    """One sample kept for StopTransaction.transactionData, as small as it can be."""

    utc_ms: int
    context: str
    energy_wh: int
    power_w: int
    current_ma: tuple[int, int, int]
    voltage_mv: tuple[int, int, int] | None
    offered_ma: int


class Transaction(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the CSMS side of a session is."""

    connector: int  # the site's id
    authority: str = Authority.LOCAL
    started: bool = False
    transaction_id: int | None = None
    invalid: bool = False  # the CSMS did not accept the token in StartTransaction.conf
    samples: tuple[StopSample, ...] = ()


@dataclass(frozen=True, slots=True)
class TransactionMessage:
    """One transaction-related CALL."""

    action: str
    session: str
    payload: Json


def id_tag(token: str) -> str:
    """The token as CiString20; a longer one by its hash, because a cut one could be another's."""
    if len(token) <= 20:
        return token
    return hashlib.sha256(token.upper().encode()).hexdigest()[:20].upper()


class Ledger:
    """The sessions of one station as its CSMS knows them."""

    def __init__(self, connectors: Sequence[Connector], config: Config) -> None:
        self._connectors = {each.id: each for each in connectors}
        self._config = config
        self._sessions: dict[str, Transaction] = {}

    def load(self, document: object) -> None:
        """Take over what was saved; raises msgspec.ValidationError for anything else."""
        self._sessions = msgspec.convert(document or {}, dict[str, Transaction])

    def document(self) -> Json:
        """What must be saved together with the cursor."""
        built: Json = msgspec.to_builtins(self._sessions)
        return built

    def session_of(self, transaction_id: int) -> str | None:
        """The open session that the CSMS calls by this number."""
        for session, each in self._sessions.items():
            if each.started and each.transaction_id == transaction_id:
                return session
        return None

    def transaction_of(self, session: str) -> Transaction | None:
        """What is known of a session."""
        return self._sessions.get(session)

    def invalid_sessions(self) -> Mapping[str, Transaction]:
        """Open sessions whose token the CSMS did not accept."""
        return {name: each for name, each in self._sessions.items() if each.invalid}

    def take(self, row: Row, now: Instant) -> TransactionMessage | None:
        """The message that a row asks for. Rows must come in order, each one once."""
        if row.type not in RELEVANT:
            return None
        payload = row.payload()
        utc_ms = corrected_utc_ms(row.at, now)
        match payload:
            case SessionAuthorised():
                self._authorised(payload)
            case ChargingStarted():
                return self._start(payload, utc_ms)
            case MeterSampled():
                return self._sampled(payload, utc_ms)
            case ChargingStopped():
                return self._stop(payload, utc_ms)
            case SessionEnded():
                self._sessions.pop(payload.session, None)
        return None

    def started(self, session: str, transaction_id: int | None, *, accepted: bool) -> None:
        """StartTransaction is over; None when no number was ever obtained."""
        if each := self._sessions.get(session):
            self._sessions[session] = msgspec.structs.replace(
                each, transaction_id=transaction_id, invalid=not accepted
            )

    def stopped(self, session: str) -> None:
        """StopTransaction is over: the session is history."""
        self._sessions.pop(session, None)

    def _authorised(self, event: SessionAuthorised) -> None:
        if event.connector in self._connectors:
            self._sessions[event.session] = Transaction(
                event.connector, authority=event.authority.value
            )

    def _start(self, event: ChargingStarted, utc_ms: int) -> TransactionMessage | None:
        connector = self._connectors.get(event.connector)
        if connector is None:
            return None
        before = self._sessions.get(event.session, Transaction(event.connector))
        begin = StopSample(utc_ms, SampleContext.BEGIN, event.energy_wh, 0, (0, 0, 0), None, 0)
        self._sessions[event.session] = msgspec.structs.replace(
            before, started=True, samples=(begin,)
        )
        payload: Json = {
            "connectorId": connector.evse,
            "idTag": id_tag(event.token),
            "meterStart": event.energy_wh,
            "timestamp": format_utc_ms(utc_ms),
        }
        return TransactionMessage("StartTransaction", event.session, payload)

    def _sampled(self, event: MeterSampled, utc_ms: int) -> TransactionMessage | None:
        connector = self._connectors.get(event.connector)
        each = self._sessions.get(event.session)
        if connector is None or each is None or not each.started:
            return None
        self._keep(event, each, utc_ms)
        measurands = self._measurands(event.context)
        value = meter_value(_sample(event, connector, utc_ms), measurands)
        if value is None:
            return None
        payload = {
            "connectorId": connector.evse,
            "transactionId": _on_wire(each.transaction_id),
            "meterValue": [value],
        }
        return TransactionMessage("MeterValues", event.session, payload)

    def _measurands(self, context: SampleContext) -> list[str]:
        if context is SampleContext.CLOCK:
            return self._config.items("MeterValuesAlignedData")
        if context in {SampleContext.PERIODIC, SampleContext.TRIGGER}:
            return self._config.items("MeterValuesSampledData")
        return []  # begin and end travel in StartTransaction and StopTransaction

    def _keep(self, event: MeterSampled, each: Transaction, utc_ms: int) -> None:
        """Intermediate samples for transactionData, thinned evenly, never the first."""
        key = "StopTxnAlignedData" if event.context is SampleContext.CLOCK else "StopTxnSampledData"
        if event.context not in {SampleContext.CLOCK, SampleContext.PERIODIC}:
            return
        if not self._config.items(key):
            return
        kept = each.samples
        if len(kept) >= MAX_STOP_SAMPLES:
            kept = (kept[0], *kept[2::2])
        new = StopSample(
            utc_ms,
            event.context,
            event.energy_wh,
            event.power_w,
            event.current_ma,
            event.voltage_mv,
            event.offered_ma,
        )
        self._sessions[event.session] = msgspec.structs.replace(each, samples=(*kept, new))

    def _stop(self, event: ChargingStopped, utc_ms: int) -> TransactionMessage | None:
        connector = self._connectors.get(event.connector)
        if connector is None:
            return None
        each = self._sessions.get(event.session, Transaction(event.connector))
        payload: Json = {
            "meterStop": event.energy_wh,
            "timestamp": format_utc_ms(utc_ms),
            "transactionId": _on_wire(each.transaction_id),
            "reason": event.reason.value,
        }
        # idTag says who stopped it; a stop by anything but a card has nobody to name (4.10).
        if event.token is not None and event.reason is StopReason.LOCAL:
            payload["idTag"] = id_tag(event.token)
        if data := self._transaction_data(each, event, connector, utc_ms):
            payload["transactionData"] = data
        return TransactionMessage("StopTransaction", event.session, payload)

    def _transaction_data(
        self, each: Transaction, event: ChargingStopped, connector: Connector, utc_ms: int
    ) -> list[Json]:
        """Begin, the kept samples and End; nothing when both lists are empty (3.16.5)."""
        sampled = self._config.items("StopTxnSampledData")
        aligned = self._config.items("StopTxnAlignedData")
        if not sampled and not aligned:
            return []
        end = StopSample(utc_ms, SampleContext.END, event.energy_wh, 0, (0, 0, 0), None, 0)
        union = list(dict.fromkeys([*sampled, *aligned]))
        values = []
        for kept in (*each.samples, end):
            names = aligned if kept.context == SampleContext.CLOCK else sampled
            edge = kept.context in {SampleContext.BEGIN, SampleContext.END}
            values.append(meter_value(_kept_sample(kept, connector), union if edge else names))
        return [value for value in values if value is not None]


def corrected_utc_ms(at: Instant, now: Instant) -> int:
    """The time of an event; one stamped before this boot knew the time is corrected."""
    if at.quality is ClockQuality.UNSYNCED and at.boot == now.boot:
        return now.utc_ms - (now.mono_ms - at.mono_ms)
    return at.utc_ms


def phases_of(connector: Connector) -> int:
    """How many phases the outlet has; 0 for direct current."""
    return 0 if connector.is_dc else len(connector.phases)


def _on_wire(transaction_id: int | None) -> int:
    return UNKNOWN_TRANSACTION if transaction_id is None else transaction_id


def _sample(event: MeterSampled, connector: Connector, utc_ms: int) -> Sample:
    return Sample(
        utc_ms=utc_ms,
        context=event.context,
        phases=phases_of(connector),
        energy_wh=event.energy_wh,
        power_w=event.power_w,
        current_ma=event.current_ma,
        voltage_mv=event.voltage_mv,
        offered_ma=event.offered_ma,
    )


def _kept_sample(kept: StopSample, connector: Connector) -> Sample:
    """At the edges of a transaction nothing flows: only the register was read."""
    edge = kept.context in {SampleContext.BEGIN, SampleContext.END}
    return Sample(
        utc_ms=kept.utc_ms,
        context=SampleContext(kept.context),
        phases=phases_of(connector),
        energy_wh=kept.energy_wh,
        power_w=None if edge else kept.power_w,
        current_ma=None if edge else kept.current_ma,
        voltage_mv=None if edge else kept.voltage_mv,
        offered_ma=None if edge else kept.offered_ma,
    )
