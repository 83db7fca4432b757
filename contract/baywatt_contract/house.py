"""What the middle floor sees of the house: ask, look, listen.

`ocpp`, `sync`, `control` and `v2g` get a `House` from the composition root; none knows another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from baywatt_contract.clock import Instant
from baywatt_contract.events import ConnectorStatus
from baywatt_contract.observations import BayState, FaultCode
from baywatt_contract.wishes import Outcome, Wish

Beat = Callable[[], None]
"""Called by a task at least as often as its heartbeat deadline, while all is well."""

Task = Callable[[Beat], Awaitable[None]]
"""A supervised task: runs until cancelled; an exception makes the supervisor restart it."""


class Clock(Protocol):
    """The only way to learn the time; tests pass one they can turn."""

    def now(self) -> Instant:
        """This moment."""
        ...

    def trust(self, utc_ms: int, source: str) -> None:
        """A trusted source (CSMS, cloud) says what time it is."""
        ...


@dataclass(frozen=True, slots=True)
class ConnectorView:
    """A connector as it stands now; `reason` explains the limit or the status in one line."""

    id: int
    station: str
    evse: int
    status: ConnectorStatus
    operative: bool
    session: str | None = None
    charging: bool = False  # a transaction is open
    token: str | None = None
    plugged: bool = False
    energy_wh: int | None = None  # delivered in this session
    register_wh: int | None = None
    power_w: int = 0
    current_ma: tuple[int, int, int] = (0, 0, 0)
    voltage_mv: tuple[int, int, int] | None = None
    offered_ma: int = 0
    limit_ma: int = 0
    limit_rule: str = ""
    reason: str = ""
    faults: tuple[FaultCode, ...] = ()
    status_since: Instant | None = None


@dataclass(frozen=True, slots=True)
class BayView:
    """A bay as it stands now."""

    id: str
    state: BayState
    connector_id: int | None = None
    since: Instant | None = None


@dataclass(frozen=True, slots=True)
class SiteView:
    """The whole site as it stands now."""

    site: str
    at: Instant
    connectors: Mapping[int, ConnectorView]
    bays: Mapping[str, BayView]
    supply_ma: tuple[int, int, int] = (0, 0, 0)
    supply_known: bool = False
    fuse_a: int = 0
    revisions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WhyStep:
    """One step of an explanation: the rule, what it said, and the inputs it looked at."""

    rule: str
    says: str
    limit_ma: int | None = None
    since: Instant | None = None


class House(Protocol):
    """The site as the middle floor and the installer see it."""

    async def wish(self, wish: Wish) -> Outcome:
        """Ask; returns when it is decided and, where it raises risk or money, committed."""
        ...

    def view(self) -> SiteView:
        """The site as it stands now; never blocks."""
        ...

    def why(self, connector_id: int) -> list[WhyStep]:
        """Why a connector has its limit and status; KeyError for an unknown connector."""
        ...

    async def changed(self, after: Instant | None = None) -> None:
        """Wait until the view differs from what it was at the call."""
        ...
