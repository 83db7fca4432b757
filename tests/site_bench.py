"""A whole site in virtual time: the real cores, a physical model behind them, no I/O.

The bench keeps its own count of every watt-hour through every contactor (the oracle) and can be
"killed" at any moment: durable state is then rebuilt from the events alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from baywatt_contract import events as ev
from baywatt_contract.clock import Instant
from baywatt_contract.grants import Grant, Supply
from baywatt_contract.observations import (
    BayObserved,
    BayState,
    ConnectorObserved,
    ControlTarget,
    LinkChanged,
    MeterReading,
    Pilot,
    Quantity,
    ReadMeter,
    TokenSwiped,
)
from baywatt_contract.site_file import SiteFile
from baywatt_contract.wishes import AuthorisationAnswer, Outcome
from baywatt_edge.power import PowerRules, share
from baywatt_edge.site import (
    AskAuthorities,
    GrantsChanged,
    Live,
    Restart,
    SiteRules,
    SiteState,
    Tick,
    decide,
    evolve,
)
from baywatt_edge.site.targets import demand, target
from baywatt_edge.site.view import site_view

STEP_MS = 250
START_UTC_MS = 1_790_000_000_000


@dataclass
class Plug:
    """One connector's physics."""

    plugged: bool = False
    ready: bool = True
    max_ma: int = 32_000
    closed: bool = False
    energy_wh: float = 0.0
    register_base_wh: int = 1_000_000
    meter_up: bool = True
    board_up: bool = True
    target: ControlTarget | None = None
    faults: frozenset = frozenset()

    @property
    def offered_ma(self) -> int:
        permitted = self.target is not None and self.target.permit and not self.faults
        return self.target.limit_ma if permitted else 0

    @property
    def pilot(self) -> Pilot:
        if self.faults:
            return Pilot.F
        if not self.plugged:
            return Pilot.A
        return Pilot.C if self.ready and self.offered_ma >= 6000 else Pilot.B

    @property
    def current_ma(self) -> int:
        return min(self.offered_ma, self.max_ma) if self.closed else 0


@dataclass
class SiteBench:
    """Turn the crank by hand."""

    file: SiteFile
    now: Instant = field(default_factory=lambda: Instant(1_000, 1, START_UTC_MS))
    csms_says: bool | None = True
    answer_questions: bool = True

    def __post_init__(self):
        self.rules = SiteRules(self.file, "epoch")
        self.state = SiteState()
        self.live = Live()
        self.journal: list[tuple[ev.Payload, Instant]] = []
        self.plugs = {each.id: Plug() for each in self.file.connectors if not each.is_dc}
        self.restarts = 0
        self.asked: list = []
        self._todo: list = []
        self._reported_ms = 0
        self._deadline_ms: int | None = None
        self.observe_all()

    # --- doing --------------------------------------------------------------------------

    def feed(self, input_) -> Outcome | None:
        """One input through the real cores, and everything that follows at once."""
        outcome = self._turn(input_)
        while self._todo:
            self._turn(self._todo.pop(0))
        return outcome

    def _turn(self, input_):
        decision = decide(self.rules, self.state, self.live, input_, self.now)
        self._take(decision)
        grants = share(
            PowerRules(),
            Supply(self.file.supply.fuse_a * 1000, (0, 0, 0), False, 6000),
            [
                demand(self.rules, self.state, self.live, each, self.now)
                for each in self.file.connectors
            ],
            self.live.grants,
            self.now.mono_ms,
        )
        if grants != self.live.grants:
            changed = GrantsChanged(grants)
            self._take(decide(self.rules, self.state, self.live, changed, self.now))
        for effect in decision.effects:
            self._effect(effect)
        self._control()
        return decision.outcome

    def _take(self, decision):
        self.state, self.live = decision.state, decision.live
        self.journal += [(event, self.now) for event in decision.events]
        self._deadline_ms = decision.deadline_mono_ms

    def _effect(self, effect):
        match effect:
            case ReadMeter(device_id, tag):
                self._read(device_id, tag)
            case AskAuthorities(question):
                self.asked.append(question)
                if self.answer_questions:
                    answer = AuthorisationAnswer(
                        question.question_id, ev.Authority.CSMS, self.csms_says
                    )
                    self._todo.append(answer)
            case Restart():
                self.restarts += 1

    def _read(self, device_id, tag=""):
        for each in self.file.connectors:
            plug = self.plugs.get(each.id)
            if plug is not None and self.rules.meter_of(each) == device_id and plug.meter_up:
                self._todo.append(self._reading(device_id, plug, tag))

    def _reading(self, device_id, plug, tag=""):
        values = {
            Quantity.ENERGY_IMPORT_WH: plug.register_base_wh + int(plug.energy_wh),
            Quantity.POWER_W: plug.current_ma * 690 // 1000,
            Quantity.CURRENT_L1_MA: plug.current_ma,
            Quantity.CURRENT_L2_MA: plug.current_ma,
            Quantity.CURRENT_L3_MA: plug.current_ma,
        }
        return MeterReading(device_id, self.now, values, requested_by=tag)

    def _control(self):
        for each in self.file.connectors:
            plug = self.plugs.get(each.id)
            if plug is not None and plug.board_up:
                plug.target = target(self.state, self.live, each, self.now.mono_ms + 6000)
                if plug.pilot is not Pilot.C:
                    plug.closed = False

    # --- time and physics -----------------------------------------------------------------

    def advance(self, seconds: float):
        """Let time pass: contactors follow pilots, energy flows, devices report every second."""
        for _ in range(int(seconds * 1000 / STEP_MS)):
            for plug in self.plugs.values():
                plug.closed = plug.pilot is Pilot.C
                plug.energy_wh += plug.current_ma / 1000 * 690 * STEP_MS / 3_600_000
            self.now = self.now.plus_ms(STEP_MS)
            if self.now.mono_ms - self._reported_ms >= 1000:
                self._reported_ms = self.now.mono_ms
                self.observe_all()
            elif self._deadline_ms is not None and self._deadline_ms <= self.now.mono_ms:
                self.feed(Tick())

    def observe_all(self):
        """What all devices say now."""
        for each in self.file.connectors:
            plug = self.plugs.get(each.id)
            if plug is None:
                continue
            if plug.board_up:
                self.feed(self.observed(each.id))
            if plug.meter_up:
                self.feed(self._reading(self.rules.meter_of(each), plug))

    def observed(self, connector_id):
        plug = self.plugs[connector_id]
        return ConnectorObserved(
            connector_id,
            self.now,
            plug.pilot,
            plug.closed,
            plug.plugged,
            plug.offered_ma,
            faults=plug.faults,
        )

    # --- people -----------------------------------------------------------------------------

    def swipe(self, connector_id, token="04A1B2C3"):
        self.feed(TokenSwiped(connector_id, token, self.now))

    def plug(self, connector_id, **vehicle):
        self.plugs[connector_id].plugged = True
        for name, value in vehicle.items():
            setattr(self.plugs[connector_id], name, value)
        self.feed(self.observed(connector_id))

    def unplug(self, connector_id):
        self.plugs[connector_id].plugged = False
        self.plugs[connector_id].closed = False
        self.feed(self.observed(connector_id))

    def meter_link(self, connector_id, *, up):
        self.plugs[connector_id].meter_up = up
        device = self.rules.meter_of(self.file.connector(connector_id))
        self.feed(LinkChanged(device, up, self.now, "" if up else "no answer"))

    def board_link(self, connector_id, *, up):
        self.plugs[connector_id].board_up = up
        device = self.file.connector(connector_id).control
        self.feed(LinkChanged(device, up, self.now, "" if up else "no answer"))

    def bay(self, bay_id, state: BayState):
        self.feed(BayObserved(bay_id, state, self.now))

    def kill(self):
        """Power off: only events survive; the board goes on by itself."""
        state = SiteState()
        for event, at in self.journal:
            state = evolve(state, event, at)
        assert state == self.state
        self.state, self.live = state, Live()
        self.now = replace(self.now, boot=self.now.boot + 1)
        self.feed(Tick())

    # --- looking ---------------------------------------------------------------------------

    def events(self, *types):
        return [event for event, _ in self.journal if isinstance(event, types)]

    def status(self, connector_id):
        return self.state.connector(connector_id).status

    def view(self):
        return site_view(self.rules, self.state, self.live, (0, 0, 0), self.now)

    def grant(self, connector_id) -> Grant:
        return self.live.grants[connector_id]
