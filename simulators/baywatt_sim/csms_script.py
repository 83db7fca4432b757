"""What the simulated central system answers: sensible defaults, scripted sequences, faults."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]

ANSWER_FAULTS = frozenset({"late", "duplicate", "lost", "malformed"})
UPGRADE_FAULTS = frozenset({"refuse_upgrade", "wrong_subprotocol"})
FAULTS = ANSWER_FAULTS | UPGRADE_FAULTS | {"black_hole", "close", "none"}


class BadRequestError(ValueError):
    """The control request makes no sense; the text says what would."""


@dataclass(slots=True)
class Fault:
    """A fault that is in force; `count` None means until `none`."""

    kind: str
    action: str | None = None
    station: str | None = None
    count: int | None = None
    delay_s: float = 1.0
    status: int = 503

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> Fault:
        """From POST /fault; raises BadRequestError."""
        kind = request.get("kind")
        if kind not in FAULTS:
            raise BadRequestError(f"kind must be one of {', '.join(sorted(FAULTS))}")
        try:
            count = request.get("count")
            return cls(
                kind,
                action=request.get("action"),
                station=request.get("station"),
                count=None if count is None else int(count),
                delay_s=float(request.get("delay_s", 1.0)),
                status=int(request.get("status", 503)),
            )
        except (TypeError, ValueError) as error:
            raise BadRequestError(f"not a number: {error}") from error


@dataclass(slots=True)
class Transaction:
    """A transaction as the central system books it."""

    id: int
    station: str
    connector: int
    id_tag: str
    meter_start: int
    started_at: str
    starts: int = 1
    meter_stop: int | None = None
    stopped_at: str | None = None
    reason: str | None = None
    stops: int = 0


@dataclass(slots=True)
class Script:
    """The central system's mind, without any connection."""

    heartbeat_s: int = 300
    transactions: dict[int, Transaction] = field(default_factory=dict)
    _sequences: dict[str, deque[Any]] = field(default_factory=dict)
    _faults: list[Fault] = field(default_factory=list)
    _last_transaction: int = 1000

    def script(self, action: str, sequence: Sequence[Any]) -> None:
        """The next answers to an action; after them the default one again."""
        self._sequences[action] = deque(sequence)

    def add_fault(self, fault: Fault) -> None:
        """Put a fault in force; `none` ends all."""
        if fault.kind == "none":
            self._faults.clear()
        else:
            self._faults.append(fault)

    def take_fault(self, kinds: frozenset[str], station: str, action: str | None) -> Fault | None:
        """The fault that hits now, counted down."""
        for fault in self._faults:
            fits = fault.kind in kinds and fault.station in {None, station}
            if fits and (action is None or fault.action in {None, action}):
                if fault.count is not None:
                    fault.count -= 1
                    if fault.count <= 0:
                        self._faults.remove(fault)
                return fault
        return None

    def answer(self, station: str, action: str, payload: Json) -> Any:  # noqa: ANN401 - as scripted
        """The scripted answer, else the default."""
        default = self._default(station, action, payload)
        sequence = self._sequences.get(action)
        if not sequence:
            return default
        scripted = sequence.popleft()
        if isinstance(scripted, dict) and "delay_s" in scripted and len(scripted) == 1:
            return {**scripted, "payload": default}
        return scripted

    def _default(self, station: str, action: str, payload: Json) -> Json:
        match action:
            case "BootNotification":
                interval = self.heartbeat_s
                return {"status": "Accepted", "currentTime": utc_now(), "interval": interval}
            case "Heartbeat":
                return {"currentTime": utc_now()}
            case "Authorize":
                return {"idTagInfo": {"status": "Accepted"}}
            case "StartTransaction":
                return self._start(station, payload)
            case "StopTransaction":
                return self._stop(payload)
            case _:
                return {"status": "UnknownVendorId"} if action == "DataTransfer" else {}

    def _start(self, station: str, payload: Json) -> Json:
        """A repeated StartTransaction is booked once, and counted."""
        connector, stamp = payload.get("connectorId"), payload.get("timestamp")
        for known in self.transactions.values():
            if (known.station, known.connector, known.started_at) == (station, connector, stamp):
                known.starts += 1
                return {"transactionId": known.id, "idTagInfo": {"status": "Accepted"}}
        self._last_transaction += 1
        number = self._last_transaction
        self.transactions[number] = Transaction(
            number,
            station,
            int(payload.get("connectorId", 0)),
            str(payload.get("idTag", "")),
            int(payload.get("meterStart", 0)),
            str(stamp),
        )
        return {"transactionId": number, "idTagInfo": {"status": "Accepted"}}

    def _stop(self, payload: Json) -> Json:
        known = self.transactions.get(int(payload.get("transactionId", -1)))
        if known is not None:
            known.stops += 1
            known.meter_stop = int(payload.get("meterStop", 0))
            known.stopped_at = str(payload.get("timestamp"))
            known.reason = payload.get("reason")
        return {"idTagInfo": {"status": "Accepted"}} if "idTag" in payload else {}


def utc_now() -> str:
    """This moment as OCPP writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
