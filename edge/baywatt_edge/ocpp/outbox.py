"""The CALLs that wait for their turn; only one may be under way at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from baywatt_contract.clock import Instant
from baywatt_edge.ocpp.frames import Json
from baywatt_edge.ocpp.rpc import Failure

OnOutcome = Callable[[Json | Failure, Instant], None]


class Rank(IntEnum):
    """Who goes first. Transaction messages have a queue of their own and go last."""

    BOOT = 0
    DRIVER_WAITS = 1
    NORMAL = 2
    TRANSACTION = 3


def _dropped(_outcome: Json | Failure, _now: Instant) -> None:
    """For CALLs whose answer changes nothing."""


@dataclass(slots=True, eq=False)
class Outgoing:
    """One CALL: `payload` is made when it is sent, so that it never tells an old story."""

    action: str
    payload: Callable[[Instant], Json]
    on_outcome: OnOutcome = _dropped
    rank: Rank = Rank.NORMAL
    triggered: bool = False  # the CSMS asked for it: may go out while Pending


class Outbox:
    """First in, first out within a rank."""

    def __init__(self) -> None:
        self._queues: dict[Rank, deque[Outgoing]] = {rank: deque() for rank in Rank}

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def put(self, outgoing: Outgoing) -> None:
        """Queue a CALL."""
        self._queues[outgoing.rank].append(outgoing)

    def has(self, action: str) -> bool:
        """Whether such a CALL waits already."""
        return any(each.action == action for queue in self._queues.values() for each in queue)

    def withdraw(self, outgoing: Outgoing) -> None:
        """Take a CALL back that nobody wants any more; fine if it has gone already."""
        queue = self._queues[outgoing.rank]
        if outgoing in queue:
            queue.remove(outgoing)

    def take(self, may_go: Callable[[Outgoing], bool]) -> Outgoing | None:
        """The next CALL that may go now."""
        for queue in self._queues.values():
            for outgoing in queue:
                if may_go(outgoing):
                    queue.remove(outgoing)
                    return outgoing
        return None

    def clear(self) -> list[Outgoing]:
        """Forget everything that waits, and return it."""
        gone = [each for queue in self._queues.values() for each in queue]
        for queue in self._queues.values():
            queue.clear()
        return gone
