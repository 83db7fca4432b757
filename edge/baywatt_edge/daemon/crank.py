"""Turns inputs into decisions, one at a time, and releases what follows from them.

The crank owns the site's state. Effects that lower risk are released at once; what raises current
or tells the outside world waits until every event before it is committed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from pydantic import ValidationError

from baywatt_contract.events import Payload
from baywatt_contract.grants import Supply
from baywatt_contract.house import Beat, Clock, SiteView, WhyStep
from baywatt_contract.observations import ControlTarget, MeterReading, Observation, ReadMeter
from baywatt_contract.site_file import Connector
from baywatt_contract.wishes import AuthorisationQuestion, Outcome, Wish
from baywatt_edge.daemon.snapshots import SNAPSHOT_EVERY, snapshot_document
from baywatt_edge.journal import Commit, Journal, NewEvent, Write
from baywatt_edge.power import ConnectorCurrent, PowerRules, SupplyEstimator, share
from baywatt_edge.site import (
    AskAuthorities,
    Decision,
    GrantsChanged,
    Live,
    Restart,
    SiteRules,
    SiteState,
    StorageChanged,
    Tick,
    decide,
    evolve,
)
from baywatt_edge.site.decision import Effect, Input
from baywatt_edge.site.targets import demand, is_raise, lowered, target
from baywatt_edge.site.view import site_view, why

log = logging.getLogger(__name__)

GRANT_TTL_MS = 6_000
RENEW_EVERY_MS = 1_000
_NOTIFY_EVERY_MS = 250
_MAX_QUEUE = 10_000


class Hardware(Protocol):
    """What the crank asks of the devices."""

    def control(self, target: ControlTarget) -> None:
        """Hand a target to the connector's controller; the newest wins."""
        ...

    def read_meter(self, request: ReadMeter) -> None:
        """Ask a meter out of turn."""
        ...


@dataclass(slots=True)
class Outside:
    """What the crank reaches outside for: the authorities, and its own restart."""

    ask: Callable[[AuthorisationQuestion], None]
    restart: Callable[[bool], None]


@dataclass(frozen=True, slots=True)
class _Asked:
    wish: Wish
    answer: asyncio.Future[Outcome]


class Crank:
    """The running site; implements `House` for the middle floor."""

    def __init__(
        self,
        rules: SiteRules,
        journal: Journal,
        clock: Clock,
        state: SiteState,
        last_seq: int,
        *,
        hardware: Hardware,
        outside: Outside,
        power_rules: PowerRules | None = None,
    ) -> None:
        self._rules = rules
        self._journal = journal
        self._clock = clock
        self._state = state
        self._live = Live()
        self._hardware = hardware
        self._outside = outside
        self._power_rules = power_rules or PowerRules()
        self._estimator = SupplyEstimator(rules.file.supply.meter)
        self._inputs: asyncio.Queue[Observation | _Asked] = asyncio.Queue(_MAX_QUEUE)
        self._commits: asyncio.Queue[tuple[Commit | None, asyncio.Future[Outcome] | None, Outcome]]
        self._commits = asyncio.Queue()
        self._uncommitted = 0
        self._released: dict[int, ControlTarget] = {}
        self._deadline_ms: int | None = None
        self._renewed_ms = -RENEW_EVERY_MS
        self._last_seq = last_seq
        self._since_snapshot = 0
        self._changed = asyncio.Event()
        self._notified_ms = 0
        self._shown: SiteView | None = None

    # --- House ---------------------------------------------------------------------------

    async def wish(self, wish: Wish) -> Outcome:
        """Ask; returns when it is decided and its events are committed."""
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        await self._inputs.put(_Asked(wish, answer))
        return await answer

    def view(self) -> SiteView:
        """The site as it stands now."""
        now = self._clock.now()
        return site_view(self._rules, self._state, self._live, self._estimator.supply_ma, now)

    def why(self, connector_id: int) -> list[WhyStep]:
        """The chain of reasons behind a connector's limit; KeyError for an unknown one."""
        connector = self._rules.file.connector(connector_id)
        return why(self._rules, self._state, self._live, connector, self._clock.now())

    async def changed(self, after: object = None) -> None:
        """Wait for the next change of the view."""
        del after
        await self._changed.wait()

    # --- the crank -----------------------------------------------------------------------

    def observe(self, observation: Observation) -> None:
        """Take in what a device says; never blocks. A full queue drops it: the next one tells."""
        try:
            self._inputs.put_nowait(observation)
        except asyncio.QueueFull:
            log.warning("the site is behind by %d inputs: dropping an observation", _MAX_QUEUE)

    def record(self, *events: Payload) -> None:
        """Write events that the daemon itself makes, before the first turn."""
        now = self._clock.now()
        for event in events:
            self._state = evolve(self._state, event, now)
        if (commit := self._submit(events)) is not None:
            self._commits.put_nowait((commit, None, Outcome(accepted=True)))

    async def run(self, beat: Beat) -> None:
        """Turn until cancelled; a failed commit raises."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._settle_commits())
            while True:
                beat()
                for input_ in await self._next_inputs():
                    self._turn(input_)
                self._notify()

    async def _next_inputs(self) -> list[Observation | _Asked | Tick]:
        """All inputs that wait, or a Tick when a deadline or renewal is due first."""
        now_ms = self._clock.now().mono_ms
        due_ms = self._renewed_ms + RENEW_EVERY_MS
        if self._deadline_ms is not None:
            due_ms = min(due_ms, self._deadline_ms)
        if due_ms <= now_ms and self._inputs.empty():
            return [Tick()]
        inputs: list[Observation | _Asked | Tick] = []
        try:
            async with asyncio.timeout(max(0, due_ms - now_ms) / 1000):
                inputs.append(await self._inputs.get())
        except TimeoutError:
            return [Tick()]
        while not self._inputs.empty():
            inputs.append(self._inputs.get_nowait())
        return inputs

    def _turn(self, input_: Observation | _Asked | Tick) -> None:
        answer = input_.answer if isinstance(input_, _Asked) else None
        asked: Input = input_.wish if isinstance(input_, _Asked) else input_
        if self._journal.full != self._live.storage_full:
            self._decide(StorageChanged(self._journal.full))
        try:
            decision = self._decide(asked)
        except ValueError as error:  # pydantic's ValidationError, UnicodeEncodeError
            self._refuse(asked, answer, error)
            return
        if isinstance(asked, MeterReading):
            self._estimator.observe(asked, self._connector_currents())
        commit = self._submit(decision.events)
        outcome = decision.outcome
        self._grant()
        if answer is not None:
            said = outcome or Outcome(accepted=False, reason="the site does not know this wish")
            self._commits.put_nowait((commit, answer, said))
        elif commit is not None:
            self._commits.put_nowait((commit, None, Outcome(accepted=True)))
        for effect in decision.effects:
            self._do(effect)
        self._release()

    def _refuse(
        self, asked: Input, answer: asyncio.Future[Outcome] | None, error: ValueError
    ) -> None:
        """A wish or card whose text no event can hold; deciding changed nothing."""
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        reason = f"cannot be recorded: {first}"
        log.warning("refused a %s: %s", type(asked).__name__, reason)
        if answer is not None and not answer.done():
            answer.set_result(Outcome(accepted=False, reason=reason))

    def _decide(self, input_: Input) -> Decision:
        now = self._clock.now()
        decision = decide(self._rules, self._state, self._live, input_, now)
        self._state, self._live = decision.state, decision.live
        self._deadline_ms = decision.deadline_mono_ms
        return decision

    def _submit(self, events: tuple[Payload, ...]) -> Commit | None:
        """Hand the events to the journal; the commit of class A, None when there is none.

        Telemetry may wait for seconds to be written in groups: nothing waits for it.
        """
        now = self._clock.now()
        if telemetry := [NewEvent(each, now) for each in events if not each.class_a]:
            self._journal.submit(Write(events=telemetry))
        class_a = [NewEvent(each, now) for each in events if each.class_a]
        if not class_a:
            return None
        commit = self._journal.submit(Write(events=class_a))
        self._uncommitted += 1
        self._last_seq = commit.rows[-1].seq
        self._since_snapshot += len(class_a)
        if self._since_snapshot >= SNAPSHOT_EVERY:
            self.snapshot()
        return commit

    def snapshot(self) -> Commit:
        """Write the state, so that the next start need not read the whole journal."""
        self._since_snapshot = 0
        return self._journal.submit(Write(documents=snapshot_document(self._state, self._last_seq)))

    def _grant(self) -> None:
        """Share the fuse anew; a change is an input like any other."""
        now = self._clock.now()
        supply = self._rules.file.supply
        grants = share(
            self._power_rules,
            Supply(
                fuse_ma=supply.fuse_a * 1000,
                other_load_ma=self._estimator.other_load_ma(now.mono_ms),
                metered=self._estimator.metered,
                fail_safe_ma=supply.fail_safe_a * 1000,
            ),
            [
                demand(self._rules, self._state, self._live, each, now)
                for each in self._rules.file.connectors
            ],
            self._live.grants,
            now.mono_ms,
        )
        if grants == self._live.grants:
            return
        decision = self._decide(GrantsChanged(grants))
        if (commit := self._submit(decision.events)) is not None:
            self._commits.put_nowait((commit, None, Outcome(accepted=True)))

    def _do(self, effect: Effect) -> None:
        match effect:
            case ReadMeter():
                self._hardware.read_meter(effect)
            case AskAuthorities(question):
                self._outside.ask(question)
            case Restart(hard):
                self._outside.restart(hard)

    def _release(self) -> None:
        """Hand targets to the hardware: all of them when committed, else the lowering part."""
        now_ms = self._clock.now().mono_ms
        renew = now_ms - self._renewed_ms >= RENEW_EVERY_MS
        if renew:
            self._renewed_ms = now_ms
        for connector in self._rules.file.connectors:
            self._release_one(connector, now_ms, renew=renew)

    def _release_one(self, connector: Connector, now_ms: int, *, renew: bool) -> None:
        released = self._released.get(connector.id)
        new = target(self._state, self._live, connector, now_ms + GRANT_TTL_MS)
        if self._uncommitted and is_raise(new, released):
            new = lowered(new, released)
        if not renew and released is not None and _same(new, released):
            return
        self._released[connector.id] = new
        self._hardware.control(new)
        if new.unlock:
            unlocks = self._live.unlocks - {connector.id}
            self._live = replace(self._live, unlocks=unlocks)

    async def _settle_commits(self) -> None:
        """Answer wishes and release raising effects in the order of their commits."""
        while True:
            commit, answer, outcome = await self._commits.get()
            if commit is not None:
                await commit.done()
                self._uncommitted -= 1
            if answer is not None and not answer.done():
                answer.set_result(outcome)
            if self._uncommitted == 0:
                self._release()

    def _connector_currents(self) -> list[ConnectorCurrent]:
        """Each connector's newest currents, turned onto the grid's phases."""
        currents = []
        for connector in self._rules.file.connectors:
            reading = self._live.readings.get(self._rules.meter_of(connector))
            if reading is None:
                continue
            on_grid = [0, 0, 0]
            for own, grid in enumerate(connector.phases):
                on_grid[grid - 1] = reading.current_ma[own]
            one, two, three = on_grid
            measured = reading.measured_at.mono_ms
            currents.append(ConnectorCurrent((one, two, three), measured))
        return currents

    def _notify(self) -> None:
        """Wake whoever waits for a changed view, at most four times a second."""
        now_ms = self._clock.now().mono_ms
        if now_ms - self._notified_ms < _NOTIFY_EVERY_MS:
            return
        self._notified_ms = now_ms
        view = self.view()
        if self._shown is not None and replace(view, at=self._shown.at) == self._shown:
            return
        self._shown = view
        self._changed.set()
        self._changed = asyncio.Event()


def _same(one: ControlTarget, other: ControlTarget) -> bool:
    """Whether they differ in nothing but the moment when they expire."""
    return replace(one, grant_expires_mono_ms=other.grant_expires_mono_ms) == other
