"""What the CSMS asks of the charge point (1.6, chapter 5)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from baywatt_contract.clock import Instant
from baywatt_contract.events import Authority, StartSource, StopReason
from baywatt_contract.house import ConnectorView
from baywatt_contract.site_file import Connector
from baywatt_contract.wishes import (
    AvailabilityWish,
    Outcome,
    ResetWish,
    SamplingWish,
    StartWish,
    StopWish,
    UnlockWish,
)
from baywatt_edge.ocpp.effects import Ask, Effect, Save
from baywatt_edge.ocpp.errors import ErrorCode, RefusedCallError
from baywatt_edge.ocpp.frames import Json
from baywatt_edge.ocpp.v16.config import Change, Config
from baywatt_edge.ocpp.v16.config_keys import MAX_KEYS_PER_REQUEST
from baywatt_edge.ocpp.v16.delivery import Names
from baywatt_edge.ocpp.v16.ledger import Ledger
from baywatt_edge.ocpp.v16.registration import Registration, Standing
from baywatt_edge.ocpp.v16.trigger import Trigger

Reply = Callable[[Json], None]
Later = Callable[[int, Callable[[Instant], None]], None]
"""Call back at this monotonic millisecond."""

_RESET_RETRY_MS = 10_000
_SAMPLING_KEYS = frozenset({"MeterValueSampleInterval", "ClockAlignedDataInterval"})


def new_wish_id() -> str:
    """Every CALL is a wish of its own, whatever message id the CSMS gave it."""
    return f"ocpp:{uuid.uuid4()}"


def sampling_wish(config: Config) -> SamplingWish:
    """How often the configuration wants transactions sampled."""
    return SamplingWish(
        new_wish_id(),
        interval_s=config.integer("MeterValueSampleInterval"),
        aligned_s=config.integer("ClockAlignedDataInterval"),
    )


@dataclass(frozen=True, slots=True)
class Desk:
    """What the handlers work with."""

    names: Names
    connectors: Sequence[Connector]
    config: Config
    ledger: Ledger
    registration: Registration
    trigger: Trigger
    views: Callable[[], Mapping[int, ConnectorView]]
    emit: Callable[[Effect], None]
    later: Later


class Inbound:
    """One method per action; each replies once, now or later."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._by_evse = {each.evse: each for each in desk.connectors}
        self._handlers: dict[str, Callable[[Json, Reply, Instant], None]] = {
            "ChangeAvailability": self._change_availability,
            "ChangeConfiguration": self._change_configuration,
            "ClearCache": self._clear_cache,
            "DataTransfer": self._data_transfer,
            "GetConfiguration": self._get_configuration,
            "RemoteStartTransaction": self._remote_start,
            "RemoteStopTransaction": self._remote_stop,
            "Reset": self._reset,
            "SetChargingProfile": self._set_charging_profile,
            "TriggerMessage": self._trigger_message,
            "UnlockConnector": self._unlock,
        }

    def handle(self, action: str, payload: Json, reply: Reply, now: Instant) -> None:
        """Carry a CALL out. Raises RefusedCallError for a CALLERROR."""
        handler = self._handlers.get(action)
        if handler is None:
            raise RefusedCallError(ErrorCode.NOT_SUPPORTED, f"{action} is not supported")
        handler(payload, reply, now)

    def _remote_start(self, payload: Json, reply: Reply, _now: Instant) -> None:
        """5.11; a chargingProfile is ignored, as a station without smart charging should."""
        connector = self._connector_to_start(payload.get("connectorId"))
        token = str(payload["idTag"])
        if connector is None or not token or not self._accepted:
            reply({"status": "Rejected"})
            return
        wish = StartWish(new_wish_id(), connector.id, token, StartSource.CSMS, Authority.CSMS)
        self._ask_yes_no(wish, reply)

    def _connector_to_start(self, number: int | None) -> Connector | None:
        """The one named; without a name a free one, where a car waits if there is such."""
        if number is not None:
            return self._by_evse.get(number)
        views = self._desk.views()
        free = [
            (not views[each.id].plugged, each.evse, each)
            for each in self._desk.connectors
            if each.id in views and views[each.id].operative and not views[each.id].session
        ]
        return min(free, key=lambda entry: entry[:2])[2] if free else None

    def _remote_stop(self, payload: Json, reply: Reply, _now: Instant) -> None:
        """5.12."""
        session = self._desk.ledger.session_of(int(payload["transactionId"]))
        if session is None or not self._accepted:
            reply({"status": "Rejected"})
            return
        wish = StopWish(new_wish_id(), StartSource.CSMS, session, reason=StopReason.REMOTE)
        self._ask_yes_no(wish, reply)

    def _ask_yes_no(self, wish: StartWish | StopWish, reply: Reply) -> None:
        def answered(outcome: Outcome, _now: Instant) -> None:
            reply({"status": "Accepted" if outcome.accepted else "Rejected"})

        self._desk.emit(Ask(wish, answered))

    def _change_availability(self, payload: Json, reply: Reply, _now: Instant) -> None:
        """5.2: Scheduled while a transaction runs; the site keeps it over a reboot."""
        number, operative = int(payload["connectorId"]), payload["type"] == "Operative"
        concerned = [each for each in self._desk.connectors if number in {0, each.evse}]
        if not concerned:
            reply({"status": "Rejected"})
            return
        views = self._desk.views()
        busy = any(each.id in views and views[each.id].charging for each in concerned)
        good = "Scheduled" if busy and not operative else "Accepted"
        answers: list[bool] = []

        def answered(outcome: Outcome, _now: Instant) -> None:
            answers.append(outcome.accepted)
            if len(answers) == len(concerned):
                reply({"status": good if all(answers) else "Rejected"})

        for each in concerned:
            wish = AvailabilityWish(new_wish_id(), each.id, operative, by="csms")
            self._desk.emit(Ask(wish, answered))

    def _reset(self, payload: Json, reply: Reply, _now: Instant) -> None:
        """5.14: the answer leaves first; the site ends its sessions before it restarts."""
        hard = payload["type"] == "Hard"
        reply({"status": "Accepted"})
        self._ask_reset(hard, self._desk.config.integer("ResetRetries"))

    def _ask_reset(self, hard: bool, retries: int) -> None:
        def answered(outcome: Outcome, now: Instant) -> None:
            if not outcome.accepted and retries > 0:
                at_ms = now.mono_ms + _RESET_RETRY_MS
                self._desk.later(at_ms, lambda _: self._ask_reset(hard, retries - 1))

        self._desk.emit(Ask(ResetWish(new_wish_id(), hard), answered, after_flush=True))

    def _unlock(self, payload: Json, reply: Reply, _now: Instant) -> None:
        """5.18; an unknown connector, or one without a lock, is NotSupported (errata 3.87)."""
        connector = self._by_evse.get(int(payload["connectorId"]))
        if connector is None or connector.plug != "type2-socket":
            reply({"status": "NotSupported"})
            return

        def answered(outcome: Outcome, _now: Instant) -> None:
            reply({"status": "Unlocked" if outcome.accepted else "UnlockFailed"})

        self._desk.emit(Ask(UnlockWish(new_wish_id(), connector.id), answered))

    def _get_configuration(self, payload: Json, reply: Reply, _now: Instant) -> None:
        """5.8."""
        names = payload.get("key") or []
        if len(names) > MAX_KEYS_PER_REQUEST:
            text = f"at most {MAX_KEYS_PER_REQUEST} keys"
            raise RefusedCallError(ErrorCode.OCCURRENCE, text)
        reply(self._desk.config.report(names))

    def _change_configuration(self, payload: Json, reply: Reply, _now: Instant) -> None:
        """5.3; Accepted means that it is in effect and survives a power cut."""
        name, value = str(payload["key"]), str(payload["value"])
        config, names = self._desk.config, self._desk.names
        verdict = config.change(name, value)
        if verdict is not Change.ACCEPTED:
            reply({"status": verdict.value})
            return
        if config.canonical_name(name) in _SAMPLING_KEYS:
            self._desk.emit(Ask(sampling_wish(config)))
        document = {names.config: config.document()}
        self._desk.emit(Save(document, then=lambda _: reply({"status": "Accepted"})))

    def _clear_cache(self, _payload: Json, reply: Reply, _now: Instant) -> None:
        """There is no authorisation cache to clear (errata 3.23)."""
        reply({"status": "Rejected"})

    def _data_transfer(self, _payload: Json, reply: Reply, _now: Instant) -> None:
        """5.6."""
        reply({"status": "UnknownVendorId"})

    def _set_charging_profile(self, _payload: Json, reply: Reply, _now: Instant) -> None:
        """5.16: a station without smart charging says so."""
        reply({"status": "NotSupported"})

    def _trigger_message(self, payload: Json, reply: Reply, now: Instant) -> None:
        """5.17: first the answer, then the message."""
        number = payload.get("connectorId")
        verdict, queue = self._desk.trigger.judge(str(payload["requestedMessage"]), number, now)
        reply({"status": verdict})
        queue()

    @property
    def _accepted(self) -> bool:
        """While Pending, remote starts and stops are refused (4.2)."""
        return self._desk.registration.standing is Standing.ACCEPTED
