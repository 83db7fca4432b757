"""The asyncio shell around the restart policy: it starts, cancels and reaps tasks."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any

from baywatt_contract.house import Task
from baywatt_edge.supervisor import policy
from baywatt_edge.supervisor.notify import SystemdNotifier
from baywatt_edge.supervisor.policy import Child, Criticality, Phase, RestartPolicy

_LOG = logging.getLogger(__name__)

_TICK_MS = 1000
_STOP_GRACE_S = 3.0
# The least important goes first, so that boards are still served while the others say goodbye.
_STOP_ORDER = (Criticality.NICE, Criticality.TELEMETRY, Criticality.MONEY, Criticality.SAFETY)


class Supervisor:
    """Named children, restarted one for one; feeds systemd's watchdog only while all is well.

    `mono_ms` is a monotonic clock in milliseconds, `rng` draws the jitter of the back-off.
    """

    def __init__(
        self,
        mono_ms: Callable[[], int],
        rng: random.Random,
        notifier: SystemdNotifier | None = None,
        restart: RestartPolicy = RestartPolicy(),  # noqa: B008 - immutable
    ) -> None:
        self._mono_ms = mono_ms
        self._rng = rng
        self._notifier = notifier or SystemdNotifier()
        self._restart = restart
        self._children: dict[str, Child] = {}
        self._bodies: dict[str, Task] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._ready = False
        self._told = ""
        self._fed_ms: int | None = None

    def add(self, name: str, task: Task, criticality: Criticality, heartbeat_s: float) -> None:
        """Supervise `task`; it must beat at least every `heartbeat_s` seconds while all is well.

        Raises ValueError for a second child of the same name.
        """
        if name in self._children:
            raise ValueError(f"a child named {name!r} is already supervised")
        heartbeat_ms = round(heartbeat_s * 1000)
        self._bodies[name] = task
        self._children[name] = policy.added(
            name, criticality, heartbeat_ms, self._restart, self._mono_ms()
        )

    async def run(self) -> None:
        """Keep all children up until cancelled, then stop them, safety last."""
        try:
            while True:
                self._tick(self._mono_ms())
                await self._wait()
        finally:
            self._notifier.send("STOPPING=1", "STATUS=stopping")
            await self._stop_all()

    def status(self) -> dict[str, dict[str, Any]]:
        """Each child by name, in the form that `baywatt status --json` shows."""
        now_ms = self._mono_ms()
        return {name: _described(child, now_ms) for name, child in self._children.items()}

    def _tick(self, now_ms: int) -> None:
        for child in list(self._children.values()):
            if policy.due(child, now_ms):
                self._start(child, now_ms)
            elif policy.overdue(child, now_ms):
                self._cancel(child)
        self._tell_systemd(now_ms)

    def _start(self, child: Child, now_ms: int) -> None:
        name = child.name
        self._children[name] = policy.started(child, now_ms)
        self._running[name] = asyncio.create_task(self._body(name), name=name)

    async def _body(self, name: str) -> None:
        await self._bodies[name](lambda: self._beat(name))

    def _beat(self, name: str) -> None:
        child = self._children[name]
        # A task that is being cancelled may still run a loop; it has lost its say.
        if child.phase is Phase.RUNNING:
            self._children[name] = policy.beaten(child, self._mono_ms())

    def _cancel(self, child: Child) -> None:
        _LOG.error("%s: silent for more than %d ms, restarting it", child.name, child.heartbeat_ms)
        self._children[child.name] = policy.cancelled(child)
        self._running[child.name].cancel()

    async def _wait(self) -> None:
        """Until a child ends, or the next thing is due."""
        timeout_s = self._pause_ms() / 1000
        if not self._running:
            await asyncio.sleep(timeout_s)
            return
        done, _ = await asyncio.wait(
            self._running.values(), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        for name, task in list(self._running.items()):
            if task in done:
                del self._running[name]
                self._reap(name, task)

    def _pause_ms(self) -> int:
        deadline_ms = policy.next_deadline_ms(self._children.values())
        limit_ms = min(_TICK_MS, self._notifier.watchdog_ms or _TICK_MS)
        if deadline_ms is None:
            return limit_ms
        return max(1, min(limit_ms, deadline_ms - self._mono_ms()))

    def _reap(self, name: str, task: asyncio.Task[None]) -> None:
        now_ms = self._mono_ms()
        before = self._children[name]
        error = None if task.cancelled() else task.exception()
        after = policy.ended(before, _words(before, task, error), now_ms, self._rng.uniform)
        self._children[name] = after
        repeated = after.last_error == before.last_error
        _LOG.log(
            logging.DEBUG if repeated else logging.ERROR,
            "%s ended (%s), restarting in %d ms",
            name,
            after.last_error,
            after.start_at_ms - now_ms,
            exc_info=None if repeated else error,
        )
        if policy.degraded(after, now_ms) and not policy.degraded(before, now_ms):
            _LOG.error("%s keeps failing: it is degraded (%s)", name, after.criticality)

    def _tell_systemd(self, now_ms: int) -> None:
        children = self._children.values()
        if not self._ready and policy.all_up(children):
            self._ready = True
            self._notifier.send("READY=1")
        missing = policy.lost(children, now_ms)
        words = f"withholding the watchdog for {', '.join(missing)}" if missing else "all is well"
        if words != self._told:
            self._told = words
            self._notifier.send(f"STATUS={words}")
            _LOG.log(logging.ERROR if missing else logging.INFO, "%s", words)
        if self._ready and not missing and self._hungry(now_ms):
            self._fed_ms = now_ms
            self._notifier.send("WATCHDOG=1")

    def _hungry(self, now_ms: int) -> bool:
        """Whether a feed is due; a busy crank does not feed more often than it must."""
        interval_ms = self._notifier.watchdog_ms
        if interval_ms is None:
            return False
        return self._fed_ms is None or now_ms - self._fed_ms >= interval_ms // 2

    async def _stop_all(self) -> None:
        for criticality in _STOP_ORDER:
            group = {
                task
                for name, task in self._running.items()
                if self._children[name].criticality is criticality
            }
            for task in group:
                task.cancel()
            if group:
                await _gone(group)


async def _gone(tasks: set[asyncio.Task[None]]) -> None:
    done, stuck = await asyncio.wait(tasks, timeout=_STOP_GRACE_S)
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.warning("%s failed while stopping: %r", task.get_name(), error)
    for task in stuck:
        _LOG.error("%s does not stop within %s s", task.get_name(), _STOP_GRACE_S)


def _words(child: Child, task: asyncio.Task[None], error: BaseException | None) -> str:
    if child.phase is Phase.CANCELLING:
        return f"silent for more than {child.heartbeat_ms} ms"
    if error is not None:
        return f"{type(error).__name__}: {error}"
    return "cancelled" if task.cancelled() else "returned"


def _described(child: Child, now_ms: int) -> dict[str, Any]:
    return {
        "state": child.phase.value,
        "ok": policy.healthy(child, now_ms),
        "criticality": child.criticality.value,
        "degraded": policy.degraded(child, now_ms),
        "restarts": child.restarts,
        "beat_age_ms": now_ms - child.last_beat_ms,
        "last_error": child.last_error,
    }
