"""A decision in the making: rules read state and live, and add events that are evolved at once."""

from __future__ import annotations

from dataclasses import replace

from baywatt_contract.clock import Instant
from baywatt_contract.events import Payload
from baywatt_contract.observations import ReadMeter
from baywatt_contract.wishes import Outcome
from baywatt_edge.site.decision import Decision, Effect
from baywatt_edge.site.evolve import evolve
from baywatt_edge.site.live import Live, put, without
from baywatt_edge.site.rules import SiteRules
from baywatt_edge.site.state import SiteState


class Draft:
    """Mutable only while one `decide` runs; `finish` gives the immutable Decision."""

    def __init__(self, rules: SiteRules, state: SiteState, live: Live, now: Instant) -> None:
        self.rules = rules
        self.state = state
        self.live = live
        self.now = now
        self.outcome: Outcome | None = None
        self._events: list[Payload] = []
        self._effects: list[Effect] = []
        self._deadline: int | None = None

    def record(self, event: Payload) -> None:
        """Something happened: the rules after this one see its consequence."""
        self._events.append(event)
        self.state = evolve(self.state, event, self.now)

    def do(self, effect: Effect) -> None:
        """Ask for an effect."""
        self._effects.append(effect)

    def wake_at(self, mono_ms: int) -> None:
        """Ask for a Tick no later than `mono_ms`."""
        if self._deadline is None or mono_ms < self._deadline:
            self._deadline = mono_ms

    def answer(self, outcome: Outcome) -> None:
        """Answer the wish that is being decided."""
        self.outcome = outcome

    def read_meter(self, device_id: str, tag: str) -> bool:
        """Ask for a tagged reading, again after a while. False when patience has run out."""
        now_ms = self.now.mono_ms
        first = self.live.first_asked.get(tag, now_ms)
        asked = self.live.asked.get(tag)
        if now_ms - first >= self.rules.meter_patience_ms:
            return False
        if asked is None or now_ms - asked >= self.rules.meter_retry_ms:
            self.do(ReadMeter(device_id, tag))
            self.live = replace(
                self.live,
                asked=put(self.live.asked, tag, now_ms),
                first_asked=put(self.live.first_asked, tag, first),
            )
            asked = now_ms
        self.wake_at(asked + self.rules.meter_retry_ms)
        return True

    def forget_reading(self, tag: str) -> None:
        """What was read under `tag` no longer counts: the next `read_meter` asks afresh."""
        if tag in self.live.asked:
            self.live = replace(
                self.live,
                asked=without(self.live.asked, tag),
                first_asked=without(self.live.first_asked, tag),
                tagged=without(self.live.tagged, tag),
            )

    def finish(self) -> Decision:
        """The decision as it stands."""
        return Decision(
            self.state,
            self.live,
            tuple(self._events),
            tuple(self._effects),
            self.outcome,
            self._deadline,
        )
