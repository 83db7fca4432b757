"""How long to wait before dialling again (OCPP 2.0.1 part 4, section 5.3)."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class BackOffRule:
    """The three settings of the specification, and how long a connection counts as stable."""

    minimum_s: float = 3.0
    random_s: float = 5.0
    repeats: int = 5
    stable_s: float = 30.0


class BackOff:
    """Doubles the wait `repeats` times, then keeps it; a new random part every time."""

    def __init__(self, rule: BackOffRule, rng: Random) -> None:
        self._rule = rule
        self._rng = rng
        self._failures = 0

    def next_wait_s(self) -> float:
        """The wait before the next attempt, in seconds."""
        factor = 1 << min(self._failures, self._rule.repeats)
        self._failures += 1
        return self._rule.minimum_s * factor + self._rng.uniform(0, self._rule.random_s)

    def connection_ended(self, lasted_s: float) -> None:
        """A connection that was stable makes the next wait short again."""
        if lasted_s >= self._rule.stable_s:
            self._failures = 0
