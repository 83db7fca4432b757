"""What anybody may ask of a site: CSMS, cloud, card, contract and installer all ask alike.

A wish is an input of the site core; the answer says whether it will be done and why.
"""

from __future__ import annotations

from dataclasses import dataclass

from baywatt_contract.events import Authority, StartSource, StopReason
from baywatt_contract.messages import ReservationItem, TokenItem


@dataclass(frozen=True, slots=True)
class StartWish:
    """Authorise a session at a connector for a token that the asker vouches for.

    connector_id 0 lets the site choose a free connector (OCPP RemoteStart without one).
    `wish_id` makes the wish idempotent: the same id twice has one effect and one answer.
    """

    wish_id: str
    connector_id: int
    token: str
    source: StartSource
    authority: Authority
    driver_id: str | None = None
    booking_id: str | None = None
    limit_ma: int | None = None  # a limit that lives as long as the session


@dataclass(frozen=True, slots=True)
class StopWish:
    """End the transaction of a session (or whatever runs at a connector)."""

    wish_id: str
    source: StartSource
    session: str | None = None
    connector_id: int | None = None
    reason: StopReason = StopReason.REMOTE


@dataclass(frozen=True, slots=True)
class UnlockWish:
    """Release the plug; a running transaction ends first (reason UnlockCommand)."""

    wish_id: str
    connector_id: int


@dataclass(frozen=True, slots=True)
class AvailabilityWish:
    """Take a connector (0 = all of them) in or out of service; a running session ends first."""

    wish_id: str
    connector_id: int
    operative: bool
    by: str


@dataclass(frozen=True, slots=True)
class LimitWish:
    """A limit per phase from one source; None lifts it. Limits are always the minimum of all."""

    wish_id: str
    connector_id: int
    source: str  # "csms", "cloud", "control"
    limit_ma: int | None
    expires_mono_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ResetWish:
    """Restart the daemon; `hard` ends sessions with HardReset, otherwise SoftReset."""

    wish_id: str
    hard: bool


@dataclass(frozen=True, slots=True)
class SamplingWish:
    """How often a transaction is sampled; 0 switches a series off. Intervals in seconds."""

    wish_id: str
    interval_s: int
    aligned_s: int


@dataclass(frozen=True, slots=True)
class AuthorisationAnswer:
    """What one side says of a token that the site asked about (see `AuthorisationQuestion`).

    `accepted` None means that the side could not be asked (offline, time-out).
    """

    question_id: str
    authority: Authority
    accepted: bool | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AuthorisationQuestion:
    """The site asks whoever `[authority]` names whether a token may charge."""

    question_id: str
    connector_id: int
    token: str


@dataclass(frozen=True, slots=True)
class ReservationsHeld:
    """The complete list of bookings the cloud wants the site to hold, with its revision."""

    rev: int
    items: tuple[ReservationItem, ...]


@dataclass(frozen=True, slots=True)
class TokensKnown:
    """The complete list of tokens that the cloud vouches for, with its revision."""

    rev: int
    items: tuple[TokenItem, ...]


Wish = (
    StartWish
    | StopWish
    | UnlockWish
    | AvailabilityWish
    | LimitWish
    | ResetWish
    | SamplingWish
    | AuthorisationAnswer
    | ReservationsHeld
    | TokensKnown
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The site's answer to a wish. `accepted` means: it will be done and survives a power cut."""

    accepted: bool
    reason: str = ""
    session: str | None = None
    connector_id: int | None = None
