"""The calendar, and what the cloud asks of sites: bookings, commands, desired states."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from baywatt_cloud.kit.base import Base, BigKey


class BookingStatus(StrEnum):
    """Names after OCPI bookings (2.3), plus ours for held and expired."""

    HELD = "HELD"
    RESERVED = "RESERVED"
    ACTIVE = "ACTIVE"
    FULFILLED = "FULFILLED"
    NO_SHOW = "NO_SHOW"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


BLOCKING = (BookingStatus.HELD, BookingStatus.RESERVED, BookingStatus.ACTIVE)
"""In these states a booking keeps others out; the database's no-overlap rule names them too."""


class Booking(Base):
    """One driver's window on a connector, a bay or both."""

    __tablename__ = "booking"
    __table_args__ = (
        CheckConstraint("to_ms > from_ms", name="window"),
        Index(None, "site_id", "status", "to_ms"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user_account.id"), index=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id"))
    evse_id: Mapped[str | None] = mapped_column(ForeignKey("connector.id"))
    bay_id: Mapped[str | None] = mapped_column(ForeignKey("bay.id"))
    from_ms: Mapped[int]
    to_ms: Mapped[int]
    status: Mapped[str] = mapped_column(String(12))
    pin: Mapped[str] = mapped_column(String(6))
    quote_id: Mapped[str | None] = mapped_column(String(40))
    hold_id: Mapped[str | None] = mapped_column(String(80))
    rev: Mapped[int | None]  # reservations revision in which the site gets it; None: not built yet
    applied_rev: Mapped[int | None]  # what the site confirmed
    applied_ms: Mapped[int | None]
    session_id: Mapped[str | None] = mapped_column(String(36))
    reason: Mapped[str] = mapped_column(String(500), default="")
    created_ms: Mapped[int]
    changed_ms: Mapped[int]


class BookingResource(Base):
    """One booked thing in one window. The database refuses overlaps of blocking rows."""

    __tablename__ = "booking_resource"
    __table_args__ = (Index(None, "resource_id", "guard_from_ms"),)

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    booking_id: Mapped[str] = mapped_column(ForeignKey("booking.id"), index=True)
    resource_id: Mapped[int] = mapped_column(ForeignKey("resource.id"))
    status: Mapped[str] = mapped_column(String(12))
    guard_from_ms: Mapped[int]
    guard_to_ms: Mapped[int]  # the promise plus the buffer, exclusive


class CommandStatus(StrEnum):
    """How far a command has come."""

    PENDING = "PENDING"
    DONE = "DONE"
    REFUSED = "REFUSED"
    EXPIRED = "EXPIRED"


class Command(Base):
    """A wish sent to a site; published again until it is answered or `not_after` is over."""

    __tablename__ = "command"
    __table_args__ = (Index(None, "status", "not_after_ms"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id"))
    user_id: Mapped[str | None] = mapped_column(ForeignKey("user_account.id"))
    kind: Mapped[str] = mapped_column(String(20))
    connector: Mapped[int | None]
    data: Mapped[dict[str, Any]]
    sent_ms: Mapped[int]
    not_after_ms: Mapped[int]
    published_ms: Mapped[int | None]
    status: Mapped[str] = mapped_column(String(10), default=CommandStatus.PENDING)
    reason: Mapped[str] = mapped_column(String(500), default="")
    session_id: Mapped[str | None] = mapped_column(String(36))
    answered_ms: Mapped[int | None]


class DesiredState(Base):
    """One retained state document of a site: rebuilt while `dirty`, published while behind."""

    __tablename__ = "desired_state"

    site_id: Mapped[str] = mapped_column(ForeignKey("site.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20), primary_key=True)
    rev: Mapped[int] = mapped_column(default=0)
    hash: Mapped[str] = mapped_column(String(64), default="")
    document: Mapped[dict[str, Any] | None]
    dirty: Mapped[bool] = mapped_column(default=True)
    published_rev: Mapped[int | None]
    applied_rev: Mapped[int | None]
    built_ms: Mapped[int | None]
