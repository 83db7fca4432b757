"""When a child is restarted, when it counts as lost, and whether the watchdog may be fed.

Pure: `now_ms` is monotonic milliseconds, and every function returns the child's next state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

_MIN_DELAY_MS = 50  # full jitter may draw zero; a task that fails at once must not spin
_MAX_FAILURES_KEPT = 64

Jitter = Callable[[float, float], float]
"""`random.Random.uniform` of whichever generator the caller injects."""


class Criticality(StrEnum):
    """What is at stake when the child is down."""

    SAFETY = "safety"
    MONEY = "money"
    TELEMETRY = "telemetry"
    NICE = "nice"

    @property
    def guards_watchdog(self) -> bool:
        """Whether systemd must restart the process when this child cannot be kept up."""
        return self in (Criticality.SAFETY, Criticality.MONEY)


class Phase(StrEnum):
    """Where a child is in its life."""

    WAITING = "waiting"  # to be started at `start_at_ms`
    RUNNING = "running"
    CANCELLING = "cancelling"  # it missed its deadline and has been told to stop


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """One-for-one restarts with full-jitter back-off; past `intensity` in `window_ms`: degraded."""

    base_ms: int = 200
    cap_ms: int = 30_000
    intensity: int = 5
    window_ms: int = 300_000
    slow_ms: int = 300_000


@dataclass(frozen=True, slots=True)
class Child:
    """One supervised task. `start_at_ms` counts only while waiting."""

    name: str
    criticality: Criticality
    heartbeat_ms: int
    policy: RestartPolicy
    phase: Phase
    start_at_ms: int
    last_beat_ms: int
    has_beaten: bool = False
    restarts: int = 0
    failures_ms: tuple[int, ...] = ()
    last_error: str = ""


def added(
    name: str, criticality: Criticality, heartbeat_ms: int, policy: RestartPolicy, now_ms: int
) -> Child:
    """A new child, to be started at once; its first deadline runs from now."""
    return Child(name, criticality, heartbeat_ms, policy, Phase.WAITING, now_ms, now_ms)


def started(child: Child, now_ms: int) -> Child:
    """The child runs. `overdue` gives it a full heartbeat; `healthy` still sees the old beat."""
    beat_ms = child.last_beat_ms if child.failures_ms else now_ms
    return replace(child, phase=Phase.RUNNING, start_at_ms=now_ms, last_beat_ms=beat_ms)


def beaten(child: Child, now_ms: int) -> Child:
    """The child says that all is well."""
    return replace(child, last_beat_ms=now_ms, has_beaten=True)


def cancelled(child: Child) -> Child:
    """The child missed its deadline and was told to stop."""
    return replace(child, phase=Phase.CANCELLING)


def ended(child: Child, error: str, now_ms: int, jitter: Jitter) -> Child:
    """The child's task is over, which it never should be; it waits for its next start."""
    failures = (*_recent(child, now_ms), now_ms)[-_MAX_FAILURES_KEPT:]
    failed = replace(
        child,
        phase=Phase.WAITING,
        restarts=child.restarts + 1,
        failures_ms=failures,
        last_error=error,
    )
    return replace(failed, start_at_ms=now_ms + _delay_ms(failed, now_ms, jitter))


def degraded(child: Child, now_ms: int) -> bool:
    """Whether the child failed so often lately that restarting it is no cure."""
    return len(_recent(child, now_ms)) >= child.policy.intensity


def due(child: Child, now_ms: int) -> bool:
    """Whether the child is to be started now."""
    return child.phase is Phase.WAITING and now_ms >= child.start_at_ms


def overdue(child: Child, now_ms: int) -> bool:
    """Whether a running child has been silent for longer than its heartbeat since its start."""
    silent_since_ms = max(child.last_beat_ms, child.start_at_ms)
    return child.phase is Phase.RUNNING and now_ms - silent_since_ms > child.heartbeat_ms


def healthy(child: Child, now_ms: int) -> bool:
    """Whether the child met its deadline and is not degraded; a quick restart does not count."""
    return now_ms - child.last_beat_ms <= child.heartbeat_ms and not degraded(child, now_ms)


def lost(children: Iterable[Child], now_ms: int) -> list[str]:
    """The safety and money children for whose sake the watchdog must go hungry."""
    return [
        child.name
        for child in children
        if child.criticality.guards_watchdog and not healthy(child, now_ms)
    ]


def all_up(children: Iterable[Child]) -> bool:
    """Whether every safety and money child has said once that all is well."""
    return all(child.has_beaten for child in children if child.criticality.guards_watchdog)


def next_deadline_ms(children: Iterable[Child]) -> int | None:
    """The next moment at which a start or a missed heartbeat may have to be acted on."""
    return min(
        (_deadline_ms(child) for child in children if child.phase is not Phase.CANCELLING),
        default=None,
    )


def _deadline_ms(child: Child) -> int:
    if child.phase is Phase.WAITING:
        return child.start_at_ms
    return max(child.last_beat_ms, child.start_at_ms) + child.heartbeat_ms + 1


def _recent(child: Child, now_ms: int) -> tuple[int, ...]:
    since_ms = now_ms - child.policy.window_ms
    return tuple(at_ms for at_ms in child.failures_ms if at_ms > since_ms)


def _delay_ms(child: Child, now_ms: int, jitter: Jitter) -> int:
    """Full jitter: uniform below a ceiling that doubles with each recent failure."""
    policy = child.policy
    if degraded(child, now_ms):
        ceiling_ms = policy.cap_ms if child.criticality.guards_watchdog else policy.slow_ms
    else:
        doublings = len(_recent(child, now_ms)) - 1
        ceiling_ms = min(policy.cap_ms, policy.base_ms * 2**doublings)
    return max(_MIN_DELAY_MS, round(jitter(0, ceiling_ms)))
