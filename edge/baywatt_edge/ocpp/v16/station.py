"""The 1.6 charge point as one sans-I/O core: everything that happens goes in, effects come out.

The shell hands in what it saw together with the time, carries the returned effects out in order,
and comes back with their results through the effects' `then`, followed by `drain`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from baywatt_contract.clock import Instant
from baywatt_contract.events import StartSource, StopReason
from baywatt_contract.house import ConnectorView, SiteView
from baywatt_contract.site_file import Authority, Connector
from baywatt_contract.wishes import LimitWish, StopWish
from baywatt_edge.ocpp import rpc
from baywatt_edge.ocpp.effects import Ask, Effect, Notice, Save, Transmit
from baywatt_edge.ocpp.errors import BadOutgoingError, RefusedCallError
from baywatt_edge.ocpp.frames import Json
from baywatt_edge.ocpp.outbox import Outbox, Outgoing, Rank
from baywatt_edge.ocpp.v16.config import Config
from baywatt_edge.ocpp.v16.config_keys import DAY_S, keys_for
from baywatt_edge.ocpp.v16.delivery import Delivery, Names
from baywatt_edge.ocpp.v16.dialect import dialect
from baywatt_edge.ocpp.v16.heartbeat import Heartbeat
from baywatt_edge.ocpp.v16.inbound import Desk, Inbound, new_wish_id, sampling_wish
from baywatt_edge.ocpp.v16.ledger import Ledger, Row, Transaction, TransactionMessage, id_tag
from baywatt_edge.ocpp.v16.registration import Registration, Standing
from baywatt_edge.ocpp.v16.status import StatusBoard
from baywatt_edge.ocpp.v16.trigger import Trigger

VENDOR = "Baywatt"
MODEL = "Site controller"
INVALID_SOURCE = "csms-invalid"
"""The LimitWish source that holds energy back after an invalid token."""

OnAuthorised = Callable[[bool | None, str], None]


@dataclass(frozen=True, slots=True)
class Restored:
    """What the journal kept of this station."""

    cursor: int = 0
    transactions: object = None
    config: Mapping[str, object] | None = None


class StationCore:
    """One charge point identity."""

    def __init__(
        self,
        station_id: str,
        connectors: Sequence[Connector],
        *,
        authority: Authority,
        program_version: str,
        restored: Restored,
        new_id: Callable[[], str] = rpc.new_message_id,
    ) -> None:
        self._connectors = tuple(connectors)
        self._authority = authority
        self._program_version = program_version
        self._effects: list[Effect] = []
        self._timers: list[tuple[int, Callable[[Instant], None]]] = []
        self._views: Mapping[int, ConnectorView] = {}
        self._connected = False
        self._current: Outgoing | None = None
        self._held: dict[str, int] = {}  # session -> connector, after an invalid token
        self.registration = Registration()
        self.config = Config(keys_for(connectors), restored.config)
        self._rpc = rpc.Rpc(dialect(), new_id)
        self._outbox = Outbox()
        self._heartbeat = Heartbeat(self.config, self._outbox, self._emit)
        self._status = StatusBoard(self._connectors)
        self._names = Names(station_id)
        self._ledger = Ledger(self._connectors, self.config)
        self._ledger.load(restored.transactions)
        self.delivery = Delivery(
            self._names, self._ledger, self.config, self._emit, self._concluded
        )
        self.delivery.load(restored.cursor)
        self._inbound = Inbound(self._desk())

    def _desk(self) -> Desk:
        trigger = Trigger(
            connectors=self._connectors,
            config=self.config,
            ledger=self._ledger,
            registration=self.registration,
            outbox=self._outbox,
            views=lambda: self._views,
            heartbeat=self._heartbeat,
            status=self._status,
        )
        return Desk(
            names=self._names,
            connectors=self._connectors,
            config=self.config,
            ledger=self._ledger,
            registration=self.registration,
            trigger=trigger,
            views=lambda: self._views,
            emit=self._emit,
            later=self._later,
        )

    # What happens outside.

    def start(self, now: Instant) -> list[Effect]:
        """Once, before anything else: what a restart must ask again."""
        self._emit(Ask(sampling_wish(self.config)))
        for session, transaction in self._ledger.invalid_sessions().items():
            self._hold_back(session, transaction)
        return self.drain(now)

    def connected(self, now: Instant) -> list[Effect]:
        """A connection with our subprotocol stands."""
        self._connected = True
        self._heartbeat.exchanged(now)
        return self.drain(now)

    def disconnected(self, now: Instant) -> list[Effect]:
        """It is gone; whatever is not a transaction message is forgotten."""
        self._connected = False
        if answered := self._rpc.lost():
            self._answered(answered, now)
        self.delivery.lost()
        failure = rpc.Failure(rpc.FailureKind.LOST, "the connection was lost")
        for outgoing in self._outbox.clear():
            outgoing.on_outcome(failure, now)
        return self.drain(now)

    def received(self, data: bytes, now: Instant) -> list[Effect]:
        """A message arrived."""
        match self._rpc.receive(data):
            case rpc.Answered() as answered:
                self._answered(answered, now)
            case rpc.Asked() as asked:
                self._asked(asked, now)
            case rpc.Write(bytes_out):
                self._write_unless_rejected(bytes_out)
            case rpc.Dropped(reason):
                self._emit(Notice(f"dropped a message: {reason}", logging.DEBUG))
        self.delivery.alive(now)
        return self.drain(now)

    def alive(self, now: Instant) -> list[Effect]:
        """A pong arrived."""
        self.delivery.alive(now)
        return self.drain(now)

    def looked(self, view: SiteView, now: Instant) -> list[Effect]:
        """The site as it stands now."""
        self._views = view.connectors
        self._status.look(view.connectors, now)
        return self.drain(now)

    def rows(self, rows: Sequence[Row], now: Instant) -> list[Effect]:
        """The next rows of the journal, in order, beginning behind `delivery.read_to`."""
        self.delivery.rows(rows, now)
        return self.drain(now)

    def tick(self, now: Instant) -> list[Effect]:
        """Time has passed."""
        if expired := self._rpc.expire(now.mono_ms):
            self._answered(expired, now)
        due = [then for at_ms, then in self._timers if at_ms <= now.mono_ms]
        self._timers = [timer for timer in self._timers if timer[0] > now.mono_ms]
        for then in due:
            then(now)
        return self.drain(now)

    def authorise(self, token: str, then: OnAuthorised) -> Outgoing | None:
        """Ask the CSMS about a token (drain afterwards); None while it cannot be asked."""
        if not self._connected or self.registration.standing is not Standing.ACCEPTED:
            return None

        def answered(outcome: Json | rpc.Failure, _now: Instant) -> None:
            if isinstance(outcome, rpc.Failure):
                then(None, outcome.detail)
                return
            status = str(outcome["idTagInfo"]["status"])
            then(status == "Accepted", f"the CSMS says {status}")

        payload: Json = {"idTag": id_tag(token)}
        outgoing = Outgoing("Authorize", lambda _: payload, answered, Rank.DRIVER_WAITS)
        self._outbox.put(outgoing)
        return outgoing

    def withdraw(self, outgoing: Outgoing) -> None:
        """Nobody waits for this answer any more."""
        self._outbox.withdraw(outgoing)

    def drain(self, now: Instant) -> list[Effect]:
        """Send what may be sent, and hand out everything that is to be done."""
        if self._connected:
            self._queue_what_is_due(now)
            self._send_next(now)
        effects, self._effects = self._effects, []
        return effects

    def next_deadline_ms(self) -> int | None:
        """When `tick` must be called at the latest; None when only the outside can move things."""
        deadlines: list[int | None] = [at_ms for at_ms, _ in self._timers]
        if self._connected:
            deadlines += [self._rpc.deadline_ms, self.registration.next_due_ms()]
            if self.registration.standing is Standing.ACCEPTED:
                minimum_ms = self.config.integer("MinimumStatusDuration") * 1000
                deadlines += [
                    self.delivery.next_due_ms() if self._rpc.idle else None,
                    self._status.next_due_ms(minimum_ms),
                    self._heartbeat.next_due_ms() if self._rpc.idle else None,
                ]
        return min((each for each in deadlines if each is not None), default=None)

    # Sending.

    def _emit(self, effect: Effect) -> None:
        self._effects.append(effect)

    def _later(self, at_ms: int, then: Callable[[Instant], None]) -> None:
        self._timers.append((at_ms, then))

    def _queue_what_is_due(self, now: Instant) -> None:
        if self.registration.boot_due(now):
            self.registration.boot_queued()
            self._outbox.put(
                Outgoing("BootNotification", self._boot_request, self._booted, Rank.BOOT)
            )
        if self.registration.standing is not Standing.ACCEPTED:
            return
        heartbeat_ms = self._heartbeat.next_due_ms() if self._rpc.idle else None
        if heartbeat_ms is not None and now.mono_ms >= heartbeat_ms:
            self._heartbeat.queue()
        minimum_ms = self.config.integer("MinimumStatusDuration") * 1000
        for number in self._status.due(minimum_ms, now):
            self._status.queue(number, self._outbox)

    def _send_next(self, now: Instant) -> None:
        while self._rpc.idle:
            outgoing = self._outbox.take(self.registration.may_send) or self._transaction(now)
            if outgoing is None:
                return
            timeout_ms = self.config.integer("MessageTimeout") * 1000
            payload = outgoing.payload(now)
            try:
                data = self._rpc.call(outgoing.action, payload, now.mono_ms, timeout_ms)
            except BadOutgoingError as error:
                self._unsendable(outgoing, str(error), now)
                continue
            self._current = outgoing
            self._heartbeat.exchanged(now)
            self._emit(Transmit(data))

    def _transaction(self, now: Instant) -> Outgoing | None:
        if self.registration.standing is not Standing.ACCEPTED:
            return None
        message = self.delivery.next_message(now)
        if message is None:
            return None
        payload = message.payload
        return Outgoing(message.action, lambda _: payload, self.delivery.outcome, Rank.TRANSACTION)

    def _unsendable(self, outgoing: Outgoing, detail: str, now: Instant) -> None:
        if outgoing.rank is Rank.TRANSACTION:
            self.delivery.unsendable(detail, now)
            return
        self._emit(Notice(f"{outgoing.action} not sent: {detail}", logging.ERROR))
        outgoing.on_outcome(rpc.Failure(rpc.FailureKind.MALFORMED, detail), now)

    def _answered(self, answered: rpc.Answered, now: Instant) -> None:
        outgoing, self._current = self._current, None
        if outgoing is None:
            return
        if isinstance(answered.outcome, rpc.Failure) and outgoing.rank is not Rank.TRANSACTION:
            text = f"{answered.action} failed: {answered.outcome.detail}"
            self._emit(Notice(text, logging.INFO))
        outgoing.on_outcome(answered.outcome, now)

    def _write_unless_rejected(self, data: bytes) -> None:
        if self.registration.standing is not Standing.REJECTED:
            self._emit(Transmit(data))

    # Boot.

    def _boot_request(self, _now: Instant) -> Json:
        return {
            "chargePointVendor": VENDOR,
            "chargePointModel": MODEL,
            "firmwareVersion": self._program_version[:50],
        }

    def _booted(self, outcome: Json | rpc.Failure, now: Instant) -> None:
        if isinstance(outcome, rpc.Failure):
            self.registration.failed(outcome, now)
            return
        self.registration.answered(outcome, now)
        self._heartbeat.set_clock(outcome, now)
        standing = self.registration.standing
        level = logging.INFO if standing is Standing.ACCEPTED else logging.WARNING
        self._emit(Notice(f"the CSMS answers the boot with {outcome['status']}", level))
        if standing is Standing.ACCEPTED:
            self._status.forget_told()
            if int(outcome["interval"]) > 0:
                self.config.change("HeartbeatInterval", str(min(outcome["interval"], DAY_S)))
                self._emit(Save({self._names.config: self.config.document()}))

    # What the CSMS asks and decides.

    def _asked(self, asked: rpc.Asked, now: Instant) -> None:
        if self.registration.standing is Standing.REJECTED:
            self._rpc.forget(asked.message_id)  # 4.2: shall not respond
            return

        def reply(payload: Json) -> None:
            if data := self._rpc.result(asked.message_id, payload):
                self._emit(Transmit(data))

        try:
            self._inbound.handle(asked.action, asked.payload, reply, now)
        except RefusedCallError as error:
            if data := self._rpc.error(asked.message_id, error.code, error.description):
                self._emit(Transmit(data))

    def _concluded(self, message: TransactionMessage, answer: Json | None, _now: Instant) -> None:
        transaction = self._ledger.transaction_of(message.session)
        if message.action == "StartTransaction" and answer is not None:
            if transaction is not None and transaction.invalid:
                status = answer["idTagInfo"]["status"]
                text = f"the CSMS says {status} to the token of session {message.session}"
                self._emit(Notice(text, logging.WARNING))
                self._hold_back(message.session, transaction)
        elif message.action == "StopTransaction":
            self._let_go(message.session)

    def _hold_back(self, session: str, transaction: Transaction) -> None:
        """4.8 and errata 3.17, but only where the CSMS has the say over this session."""
        if transaction.authority != "csms" and self._authority.authorise != "csms":
            return
        if self.config.boolean("StopTransactionOnInvalidId"):
            reason = StopReason.DE_AUTHORIZED
            self._emit(Ask(StopWish(new_wish_id(), StartSource.CSMS, session, reason=reason)))
        else:
            self._held[session] = transaction.connector
            wish = LimitWish(new_wish_id(), transaction.connector, INVALID_SOURCE, limit_ma=0)
            self._emit(Ask(wish))

    def _let_go(self, session: str) -> None:
        """The next driver must not inherit the limit."""
        connector_id = self._held.pop(session, None)
        if connector_id is not None:
            wish = LimitWish(new_wish_id(), connector_id, INVALID_SOURCE, limit_ma=None)
            self._emit(Ask(wish))
