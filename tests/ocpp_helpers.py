"""A virtual world around the 1.6 core: clock, journal, house and CSMS in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from baywatt_contract.clock import ClockQuality, Instant, format_utc_ms
from baywatt_contract.events import (
    Authority as Side,
)
from baywatt_contract.events import (
    ChargingStarted,
    ChargingStopped,
    ConnectorStatus,
    MeterSampled,
    Payload,
    SampleContext,
    SessionAuthorised,
    SessionEnded,
    StartSource,
    StopReason,
)
from baywatt_contract.house import ConnectorView, SiteView
from baywatt_contract.site_file import Authority, Connector
from baywatt_contract.wishes import Outcome, Wish
from baywatt_edge.journal import Row, Stream
from baywatt_edge.ocpp.effects import Ask, Effect, Notice, Probe, Save, Transmit, Trust
from baywatt_edge.ocpp.v16.station import Restored, StationCore

STATION = "HARBOUR-1"
T0_UTC_MS = 1_790_000_000_000


def connector(number: int, **changes: Any) -> Connector:
    """A type 2 socket; the site's id differs from the OCPP number on purpose."""
    values = {
        "id": 10 + number,
        "station": STATION,
        "evse": number,
        "plug": "type2-socket",
        "control": f"board-{number}",
        "max_a": 32,
    }
    return Connector.model_validate(values | changes)


class VirtualClock:
    """Time that only a test moves."""

    def __init__(self) -> None:
        self.instant = Instant(1_000_000, 1, T0_UTC_MS, ClockQuality.SYNCED)
        self.trusted: list[tuple[int, str]] = []

    def now(self) -> Instant:
        return self.instant

    def trust(self, utc_ms: int, source: str) -> None:
        self.trusted.append((utc_ms, source))

    def advance(self, ms: int) -> None:
        self.instant = self.instant.plus_ms(ms)


class FakeHouse:
    """Grants every wish unless told otherwise, and shows the view that a test set."""

    def __init__(self, clock: Any, connectors: list[Connector]) -> None:
        self.clock = clock
        self.wishes: list[Wish] = []
        self.answer: Callable[[Wish], Outcome] = lambda _: Outcome(accepted=True)
        self.views = {
            each.id: ConnectorView(
                id=each.id,
                station=each.station,
                evse=each.evse,
                status=ConnectorStatus.AVAILABLE,
                operative=True,
            )
            for each in connectors
        }
        self._changed = asyncio.Event()

    def set(self, connector_id: int, **changes: Any) -> None:
        """Change a connector's view."""
        self.views = {
            **self.views,
            connector_id: replace(self.views[connector_id], **changes),
        }
        self._changed.set()

    def asked(self, kind: type) -> list[Any]:
        """The wishes of one kind."""
        return [wish for wish in self.wishes if isinstance(wish, kind)]

    async def wish(self, wish: Wish) -> Outcome:
        return self.decide(wish)

    def decide(self, wish: Wish) -> Outcome:
        self.wishes.append(wish)
        return self.answer(wish)

    def view(self) -> SiteView:
        return SiteView("harbour", self.clock.now(), self.views, {})

    def why(self, connector_id: int) -> list[Any]:
        return []

    async def changed(self, after: Instant | None = None) -> None:
        self._changed.clear()
        await self._changed.wait()


@dataclass
class MemoryJournal:
    """What survives: rows, documents and cursors."""

    clock: VirtualClock
    rows: list[Row] = field(default_factory=list)
    documents: dict[str, Any] = field(default_factory=dict)
    cursors: dict[str, int] = field(default_factory=dict)

    def append(self, payload: Payload, at: Instant | None = None) -> None:
        self.rows.append(
            Row(
                Stream.EVENTS,
                len(self.rows) + 1,
                payload.type_name(),
                1,
                at or self.clock.now(),
                "",
                payload.to_data(),
            )
        )


class World:
    """A core in virtual time. The CSMS answers at once unless `hold` is set."""

    def __init__(
        self,
        connectors: list[Connector] | None = None,
        authorise: str = "any",
        connect: bool = True,
        **config: str,
    ) -> None:
        self.clock = VirtualClock()
        self.connectors = connectors or [connector(1), connector(2)]
        self.house = FakeHouse(self.clock, self.connectors)
        self.journal = MemoryJournal(self.clock)
        self.authority = Authority(authorise=authorise)  # type: ignore[arg-type]
        self.sent: list[list[Any]] = []
        self.notices: list[str] = []
        self.probes = 0
        self.hold = False
        self.crash_before_save = False
        self.answers: dict[str, list[Any]] = {}
        self.boot_answer: dict[str, Any] = {}
        self.transactions = 0
        self.commands = 0
        if config:
            self.journal.documents[f"ocpp:{STATION}:config"] = dict(config)
        self.core = self._fresh_core()
        if connect:
            self.connect()

    # The process.

    def _fresh_core(self) -> StationCore:
        core = StationCore(
            STATION,
            self.connectors,
            authority=self.authority,
            program_version="1.2.3",
            restored=Restored(
                self.journal.cursors.get(f"ocpp:{STATION}", 0),
                json.loads(json.dumps(self.journal.documents.get(f"ocpp:{STATION}:transactions"))),
                self.journal.documents.get(f"ocpp:{STATION}:config"),
            ),
        )
        self.core = core
        self._do(core.start(self.clock.now()))
        self._do(core.looked(self.house.view(), self.clock.now()))
        return core

    def restart(self) -> None:
        """The process dies and comes back; only the journal survives."""
        self.crash_before_save = False
        self._fresh_core()
        self.connect()
        self.feed()

    def connect(self) -> None:
        self._do(self.core.connected(self.clock.now()))

    def disconnect(self) -> None:
        self._do(self.core.disconnected(self.clock.now()))

    def _do(self, effects: list[Effect]) -> None:
        for effect in effects:
            now = self.clock.now()
            match effect:
                case Transmit(data):
                    self._deliver(json.loads(data))
                case Ask():
                    effect.then(self.house.decide(effect.wish), now)
                    self._do(self.core.drain(now))
                case Save() if not self.crash_before_save:
                    self.journal.documents.update(effect.documents)
                    self.journal.cursors.update(effect.cursors)
                    effect.then(now)
                    self._do(self.core.drain(now))
                case Save():
                    pass
                case Trust(utc_ms):
                    self.clock.trust(utc_ms, "csms")
                case Notice(text, _):
                    self.notices.append(text)
                case Probe():
                    self.probes += 1

    # The CSMS.

    def _deliver(self, frame: list[Any]) -> None:
        self.sent.append(frame)
        if frame[0] == 2 and not self.hold:
            self.answer_last()

    def answer_last(self, payload: Any = None) -> None:
        """Answer the newest CALL of the station."""
        frame = self.calls()[-1]
        answer = payload if payload is not None else self._answer(frame)
        if answer == "silence":
            return
        if isinstance(answer, dict) and "error" in answer:
            self.inject([4, frame[1], answer["error"], "", {}])
        else:
            self.inject([3, frame[1], answer])

    def _answer(self, frame: list[Any]) -> Any:
        action = frame[2]
        if self.answers.get(action):
            return self.answers[action].pop(0)
        stamp = format_utc_ms(self.clock.now().utc_ms)
        if action == "BootNotification":
            default = {"status": "Accepted", "currentTime": stamp, "interval": 300}
            return default | self.boot_answer
        if action == "Heartbeat":
            return {"currentTime": stamp}
        if action == "StartTransaction":
            self.transactions += 1
            return {"transactionId": 100 + self.transactions, "idTagInfo": {"status": "Accepted"}}
        if action == "Authorize":
            return {"idTagInfo": {"status": "Accepted"}}
        return {}

    def inject(self, frame: Any) -> None:
        """A frame arrives at the station."""
        data = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
        self._do(self.core.received(data, self.clock.now()))

    def ask(self, action: str, payload: Any) -> Any:
        """A CALL of the CSMS: the payload of the answer, the code of a CALLERROR, or None."""
        self.commands += 1
        message_id = f"csms-{self.commands}"
        self.inject([2, message_id, action, payload])
        for frame in self.sent:
            if frame[0] == 3 and frame[1] == message_id:
                return frame[2]
            if frame[0] == 4 and frame[1] == message_id:
                return frame[2]
        return None

    def calls(self, action: str | None = None) -> list[list[Any]]:
        """The CALLs that left the station."""
        return [f for f in self.sent if f[0] == 2 and action in {None, f[2]}]

    def payloads(self, action: str) -> list[Any]:
        return [frame[3] for frame in self.calls(action)]

    # Time and the site.

    def pass_ms(self, ms: int) -> None:
        """Let time pass, stopping at every deadline on the way."""
        end_ms = self.clock.now().mono_ms + ms
        for _ in range(10_000):
            deadline = self.core.next_deadline_ms()
            now_ms = self.clock.now().mono_ms
            if deadline is None or deadline > end_ms:
                break
            self.clock.advance(max(0, deadline - now_ms))
            self._do(self.core.tick(self.clock.now()))
        else:
            raise AssertionError("the core asks for the same deadline again and again")
        self.clock.advance(end_ms - self.clock.now().mono_ms)
        self._do(self.core.tick(self.clock.now()))

    def pong(self) -> None:
        self._do(self.core.alive(self.clock.now()))

    def set(self, number: int, **changes: Any) -> None:
        """Change the view of a connector by its OCPP number."""
        self.house.set(10 + number, **changes)
        self._do(self.core.looked(self.house.view(), self.clock.now()))

    def feed(self) -> None:
        """Hand the core every row that it has not seen."""
        fresh = self.journal.rows[self.core.delivery.read_to :]
        self._do(self.core.rows(fresh, self.clock.now()))

    def happen(self, *payloads: Payload) -> None:
        """Events are committed to the journal, and the core hears of them."""
        for payload in payloads:
            self.journal.append(payload)
        self.feed()

    def begin(self, session: str = "s1", number: int = 1, **changes: Any) -> None:
        """A session is authorised and its transaction begins."""
        self.happen(authorised(session, number, **changes), started(session, number))


def authorised(session: str, number: int, side: Side = Side.CSMS) -> SessionAuthorised:
    return SessionAuthorised(
        session=session,
        connector=10 + number,
        source=StartSource.CARD,
        authority=side,
        token="04A1B2C3",
        token_hash="x",
    )


def started(session: str, number: int, energy_wh: int = 5000, token: str = "04A1B2C3") -> Payload:
    return ChargingStarted(
        session=session, connector=10 + number, energy_wh=energy_wh, meter="m", token=token
    )


def sampled(session: str, number: int, energy_wh: int = 5500, **changes: Any) -> Payload:
    values: dict[str, Any] = {
        "session": session,
        "connector": 10 + number,
        "energy_wh": energy_wh,
        "power_w": 11_040,
        "current_ma": (16_000, 15_980, 16_020),
        "voltage_mv": (230_100, 229_900, 230_000),
        "offered_ma": 16_000,
        "context": SampleContext.PERIODIC,
    }
    return MeterSampled(**(values | changes))


def stopped(session: str, number: int, energy_wh: int = 6000, **changes: Any) -> Payload:
    values: dict[str, Any] = {
        "session": session,
        "connector": 10 + number,
        "energy_wh": energy_wh,
        "reason": StopReason.LOCAL,
        "duration_ms": 60_000,
    }
    return ChargingStopped(**(values | changes))


def ended(session: str, number: int) -> Payload:
    return SessionEnded(session=session, connector=10 + number, reason="unplugged")
