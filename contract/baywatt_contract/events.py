"""The payload of every event type: additive only, so a reader of any age reads every writer.

A new optional field keeps `v`; a changed meaning gets a new version and its upcast.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from baywatt_contract.observations import BayState, FaultCode

ConnectorId = Annotated[int, Field(ge=0, le=65535)]
SessionId = Annotated[str, Field(min_length=1, max_length=36)]
Wh = Annotated[int, Field(ge=0, le=10**13)]
Ma = Annotated[int, Field(ge=0, le=10**7)]
W = Annotated[int, Field(ge=-(10**9), le=10**9)]
Text = Annotated[str, Field(max_length=500)]
Token = Annotated[str, Field(min_length=1, max_length=128)]
Phases3 = tuple[int, int, int]


class Payload(BaseModel):
    """Base of all payloads; unknown fields of newer writers are ignored, `type` is the name."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    class_a: ClassVar[bool] = True
    version: ClassVar[int] = 1

    @classmethod
    def type_name(cls) -> str:
        """The name in the envelope's `type`."""
        return cls.__name__

    def to_data(self) -> dict[str, Any]:
        """The envelope's `data`; absent optionals are left out."""
        return self.model_dump(mode="json", exclude_none=True)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Self:
        """Read `data` written by any version; raises pydantic.ValidationError."""
        return cls.model_validate(data)


class Authority(StrEnum):
    """Who vouched for a session."""

    CSMS = "csms"
    CLOUD = "cloud"
    LOCAL = "local"  # the installer at the control socket, or a cached answer while offline


class StartSource(StrEnum):
    """By what a session was asked for."""

    CARD = "card"
    CSMS = "csms"
    CLOUD = "cloud"
    CONTROL = "control"
    CONTRACT = "contract"


class ConnectorStatus(StrEnum):
    """The connector as people and OCPP 1.6 see it (1.6 edition 2, section 4.9)."""

    AVAILABLE = "Available"
    PREPARING = "Preparing"
    CHARGING = "Charging"
    SUSPENDED_EVSE = "SuspendedEVSE"
    SUSPENDED_EV = "SuspendedEV"
    FINISHING = "Finishing"
    RESERVED = "Reserved"
    UNAVAILABLE = "Unavailable"
    FAULTED = "Faulted"


class StopReason(StrEnum):
    """Why a transaction ended (names of OCPP 1.6 where it has one)."""

    LOCAL = "Local"
    REMOTE = "Remote"
    EV_DISCONNECTED = "EVDisconnected"
    DE_AUTHORIZED = "DeAuthorized"
    EMERGENCY_STOP = "EmergencyStop"
    HARD_RESET = "HardReset"
    SOFT_RESET = "SoftReset"
    POWER_LOSS = "PowerLoss"
    REBOOT = "Reboot"
    UNLOCK_COMMAND = "UnlockCommand"
    OTHER = "Other"


class SampleContext(StrEnum):
    """Why a meter value was taken."""

    BEGIN = "Transaction.Begin"
    PERIODIC = "Sample.Periodic"
    CLOCK = "Sample.Clock"
    END = "Transaction.End"
    TRIGGER = "Trigger"


class DaemonStarted(Payload):
    """A boot of the daemon; `boot` of the envelope tells which."""

    program: Text


class SiteConnector(Payload):
    """One connector in SiteDescribed."""

    id: ConnectorId
    station: Text
    evse: int
    plug: Text
    max_power_w: int
    phases: tuple[int, ...]
    current_kind: Text  # "ac" or "dc"
    bay: Text | None = None
    bookable: bool = True


class SiteDescribed(Payload):
    """The site's own catalogue entry, written whenever the site file changed."""

    site: Text
    name: Text
    time_zone: Text
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    latitude: float
    longitude: float
    fuse_a: int
    authorise: Text
    reserve: Text
    bill: Text
    connectors: list[SiteConnector]
    bays: list[Text]


class SessionAuthorised(Payload):
    """A visit began: somebody may charge at this connector.

    `token_hash` is SHA-256 of the token with the site id as key, `booking_id` set when a
    reservation was used. `billed_elsewhere` is true when `[authority] bill` names the other side.
    """

    session: SessionId
    connector: ConnectorId
    source: StartSource
    authority: Authority
    token: Token
    token_hash: Text
    booking_id: Text | None = None
    command_id: Text | None = None
    driver_id: Text | None = None
    bill: Text = "cloud"


class SessionRefused(Payload):
    """Somebody asked and may not; `reason` is one line for people."""

    connector: ConnectorId
    source: StartSource
    token_hash: Text
    reason: Text
    command_id: Text | None = None


class ChargingStarted(Payload):
    """The transaction began; the register was read before the contactor was allowed to close."""

    session: SessionId
    connector: ConnectorId
    energy_wh: Wh
    meter: Text
    token: Token
    booking_id: Text | None = None


class MeterSampled(Payload):
    """A billing-grade reading within a transaction."""

    session: SessionId
    connector: ConnectorId
    energy_wh: Wh
    power_w: W = 0
    current_ma: Phases3 = (0, 0, 0)
    voltage_mv: Phases3 | None = None
    offered_ma: Ma = 0
    context: SampleContext = SampleContext.PERIODIC
    vehicle_requests: bool = True  # pilot C or D: OCPI's PARKING_TIME counts only when False


class LimitChanged(Payload):
    """What the connector may draw per phase, and which rule says so."""

    connector: ConnectorId
    session: SessionId | None = None
    limit_ma: Ma
    rule: Text
    reason: Text


class SessionStopping(Payload):
    """Somebody or something asked to end the session; it ends even if the power fails now."""

    session: SessionId
    connector: ConnectorId
    reason: StopReason
    source: StartSource | None = None
    token: Token | None = None
    command_id: Text | None = None


class ChargingStopped(Payload):
    """The transaction ended; the register was read after the contactor was confirmed open."""

    session: SessionId
    connector: ConnectorId
    energy_wh: Wh
    reason: StopReason
    token: Token | None = None
    duration_ms: int
    estimated: bool = False  # the meter stayed silent: the last good register was taken


class SessionEnded(Payload):
    """The visit ended: the car is unplugged (and the session can be billed)."""

    session: SessionId
    connector: ConnectorId
    reason: Text


class ConnectorChanged(Payload):
    """The connector's status, with the reason in words."""

    connector: ConnectorId
    status: ConnectorStatus
    fault: FaultCode | None = None
    reason: Text = ""


class AvailabilityChanged(Payload):
    """An operator took a connector (0 = the whole station) in or out of service."""

    connector: ConnectorId
    operative: bool
    by: Text


class BayChanged(Payload):
    """A bay's debounced state."""

    bay: Text
    state: BayState
    connector: ConnectorId | None = None


class ReservationApplied(Payload):
    """The site holds this booking now."""

    booking_id: Text
    rev: int


class ReservationUsed(Payload):
    """The booking's driver arrived and was authorised."""

    booking_id: Text
    connector: ConnectorId
    session: SessionId


class ReservationNoShow(Payload):
    """Nobody came although the connector was held and operative for the whole window."""

    booking_id: Text
    connector: ConnectorId
    held_ms: int
    operative: bool


class FaultRaised(Payload):
    """A fault began; `device` or `connector` says where."""

    fault: FaultCode
    connector: ConnectorId | None = None
    device: Text | None = None
    detail: Text = ""


class FaultCleared(Payload):
    """A fault ended."""

    fault: FaultCode
    connector: ConnectorId | None = None
    device: Text | None = None


class CommandDone(Payload):
    """A command had its effect."""

    id: Text
    session: SessionId | None = None


class CommandRefused(Payload):
    """A command was not carried out; `reason` in words."""

    id: Text
    reason: Text


class TelemetryDropped(Payload):
    """Class B rows with these sequence numbers (inclusive) were dropped to keep the quota."""

    from_seq: Annotated[int, Field(alias="from")]
    to_seq: Annotated[int, Field(alias="to")]
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    def to_data(self) -> dict[str, Any]:
        """Written with the wire names `from` and `to`."""
        return self.model_dump(mode="json", by_alias=True)


class PowerSampled(Payload):
    """Telemetry of one connector: class B."""

    class_a: ClassVar[bool] = False

    connector: ConnectorId
    session: SessionId | None = None
    energy_wh: Wh | None = None
    power_w: W = 0
    current_ma: Phases3 = (0, 0, 0)
    offered_ma: Ma = 0


class SupplySampled(Payload):
    """Telemetry of the grid connection: class B."""

    class_a: ClassVar[bool] = False

    power_w: W = 0
    current_ma: Phases3 = (0, 0, 0)


PAYLOADS: dict[str, type[Payload]] = {
    cls.type_name(): cls
    for cls in (
        DaemonStarted,
        SiteDescribed,
        SessionAuthorised,
        SessionRefused,
        ChargingStarted,
        MeterSampled,
        LimitChanged,
        SessionStopping,
        ChargingStopped,
        SessionEnded,
        ConnectorChanged,
        AvailabilityChanged,
        BayChanged,
        ReservationApplied,
        ReservationUsed,
        ReservationNoShow,
        FaultRaised,
        FaultCleared,
        CommandDone,
        CommandRefused,
        TelemetryDropped,
        PowerSampled,
        SupplySampled,
    )
}


def parse_payload(type_name: str, data: dict[str, Any]) -> Payload | None:
    """The typed payload, None for a type this version does not know (store it, pass over it).

    Raises pydantic.ValidationError when a known type does not fit.
    """
    cls = PAYLOADS.get(type_name)
    return None if cls is None else cls.from_data(data)
