"""The durable state of a site: exactly what the journal's events add up to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from baywatt_contract.clock import Instant
from baywatt_contract.events import Authority, ConnectorStatus, StartSource, StopReason
from baywatt_contract.observations import BayState, FaultCode


@dataclass(frozen=True, slots=True)
class Session:
    """One visit, from authorisation to unplugging."""

    id: str
    connector_id: int
    token: str
    token_hash: str
    source: StartSource
    authority: Authority
    bill: str
    authorised_at: Instant
    booking_id: str | None = None
    driver_id: str | None = None
    command_id: str | None = None
    begin_wh: int | None = None
    begin_at: Instant | None = None
    last_wh: int | None = None
    sampled_at: Instant | None = None
    stopping: StopReason | None = None
    stopping_at: Instant | None = None
    stop_token: str | None = None
    stop_command_id: str | None = None
    end_wh: int | None = None

    @property
    def charging(self) -> bool:
        """Whether its transaction is open: begun and not ended."""
        return self.begin_wh is not None and self.end_wh is None


@dataclass(frozen=True, slots=True)
class ConnectorState:
    """What must be known of a connector after a restart."""

    operative: bool = True
    status: ConnectorStatus = ConnectorStatus.UNAVAILABLE
    status_reason: str = ""
    status_at: Instant | None = None
    faults: frozenset[FaultCode] = frozenset()
    session: Session | None = None
    limit_ma: int = 0
    limit_rule: str = ""
    limit_reason: str = ""
    limit_at: Instant | None = None


_NEVER_HEARD_OF = ConnectorState()


@dataclass(frozen=True, slots=True)
class Bay:
    """A bay's last known state."""

    state: BayState = BayState.UNKNOWN
    since: Instant | None = None


@dataclass(frozen=True, slots=True)
class SiteState:
    """Rebuilt on start from a snapshot and the journal's rows after it."""

    connectors: Mapping[int, ConnectorState] = field(default_factory=dict)
    bays: Mapping[str, Bay] = field(default_factory=dict)
    device_faults: frozenset[str] = frozenset()
    applied: Mapping[str, int] = field(default_factory=dict)  # booking → revision held
    used: tuple[str, ...] = ()  # bookings whose driver came
    missed: tuple[str, ...] = ()  # bookings ended as no-show
    wishes: Mapping[str, str] = field(default_factory=dict)  # wish id → session it made or ended
    authorised: int = 0  # sessions ever; makes their ids unique
    described: str = ""  # hash of the last SiteDescribed

    def connector(self, connector_id: int) -> ConnectorState:
        """The connector's state; a fresh one for a connector never heard of."""
        return self.connectors.get(connector_id, _NEVER_HEARD_OF)

    def session(self, session_id: str) -> Session | None:
        """The running session with this id."""
        return next((s for s in self.sessions() if s.id == session_id), None)

    def sessions(self) -> list[Session]:
        """All running sessions."""
        return [each.session for each in self.connectors.values() if each.session is not None]


def elapsed_ms(since: Instant, now: Instant) -> int:
    """Milliseconds between two moments: monotonic within a boot, UTC across boots, never < 0."""
    if since.boot == now.boot:
        return max(0, now.mono_ms - since.mono_ms)
    return max(0, now.utc_ms - since.utc_ms)
