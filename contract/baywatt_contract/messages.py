"""The messages beside events: acknowledgement, presence, commands and desired state."""

from __future__ import annotations

import hashlib
import hmac
import json
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from baywatt_contract.topics import StateTopic


class Message(BaseModel):
    """Base: immutable, tolerant of fields that newer peers add."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Ack(Message):
    """What the cloud has committed of one stream.

    `upto` is the highest sequence number below which nothing is missing, `missing` inclusive
    ranges above it that the cloud knows it lacks, `now` the cloud's clock.
    """

    stream: Literal["events", "telemetry"]
    epoch: Annotated[str, Field(max_length=64)]
    upto: Annotated[int, Field(ge=0)]
    missing: Annotated[list[tuple[int, int]], Field(max_length=1000)] = []
    now: Annotated[str, Field(max_length=40)]


class Presence(Message):
    """Birth (retained) and will of a site. `revisions` names the desired states it holds."""

    on: bool
    boot: int
    epoch: str | None = None
    version: str | None = None
    revisions: dict[StateTopic, int] = {}


class LiveConnector(Message):
    """One connector in a live message."""

    status: str
    session: str | None = None
    power_w: int = 0
    current_ma: tuple[int, int, int] = (0, 0, 0)
    energy_wh: int | None = None  # delivered in this session
    offered_ma: int = 0
    limit_ma: int = 0
    reason: str = ""
    soc_percent: int | None = None


class Live(Message):
    """up/live: how the site stands now; QoS 0, at most 1 Hz, never stored as evidence."""

    at: Annotated[str, Field(max_length=40)]
    connectors: dict[int, LiveConnector] = {}
    bays: dict[str, str] = {}
    supply_ma: tuple[int, int, int] = (0, 0, 0)


class CommandKind(StrEnum):
    """What the cloud can ask of a site."""

    START = "start"
    STOP = "stop"
    UNLOCK = "unlock"
    AVAILABILITY = "availability"
    LIMIT = "limit"
    RESET = "reset"
    BUNDLE = "bundle"
    UPDATE = "update"


class Command(Message):
    """One wish of the cloud. After `not_after` it is refused, never carried out late.

    data: start {token, driver_id, booking_id?}; stop {session}; availability {operative};
    limit {limit_ma, seconds}.
    """

    id: Annotated[str, Field(min_length=1, max_length=64)]
    kind: CommandKind
    sent_at: Annotated[str, Field(max_length=40)]
    not_after: Annotated[str, Field(max_length=40)]
    connector: Annotated[int, Field(ge=0, le=65535)] | None = None
    data: dict[str, Any] = {}


class ReservationStatus(StrEnum):
    """States of a booking that the site must know."""

    RESERVED = "RESERVED"
    ACTIVE = "ACTIVE"
    CANCELLED = "CANCELLED"


class ReservationItem(Message):
    """One booking in down/state/reservations. Times RFC 3339 UTC; tokens only as hashes."""

    id: Annotated[str, Field(min_length=1, max_length=64)]
    rev: int
    evse: int | None = None  # the connector id on site
    bay: str | None = None
    from_: Annotated[str, Field(alias="from")]
    to: str
    token_hashes: list[str] = []
    pin_hash: str | None = None
    driver_id: str | None = None
    status: ReservationStatus = ReservationStatus.RESERVED


class TokenItem(Message):
    """One token in down/state/tokens: a card or app identity that the cloud vouches for."""

    hash: str
    driver_id: str
    accepted: bool = True


class StateDocument(Message):
    """A desired state as retained: revision, hash of the items, items."""

    rev: Annotated[int, Field(ge=0)]
    hash: str
    items: Annotated[list[dict[str, Any]], Field(max_length=20_000)]
    horizon: str | None = None

    @classmethod
    def of(cls, rev: int, items: list[dict[str, Any]], horizon: str | None = None) -> StateDocument:
        """A document with its hash."""
        return cls(rev=rev, hash=items_hash(items), items=items, horizon=horizon)


def items_hash(items: list[dict[str, Any]]) -> str:
    """SHA-256 over the canonical JSON of the items, in hex."""
    canonical = json.dumps(items, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def token_hash(site: str, token: str) -> str:
    """HMAC-SHA-256 of a token keyed by the site id, so lists differ from site to site.

    Tokens are case-insensitive (OCPP CiString): they are hashed in upper case.
    """
    return hmac.new(site.encode(), token.strip().upper().encode(), hashlib.sha256).hexdigest()
