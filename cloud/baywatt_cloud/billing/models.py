"""What is billed and paid. Rows are written once; only a hold and a payment change state."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from baywatt_cloud.kit.base import Base


class LegalEntity(Base):
    """Who issues invoices; its numbers have no gap because the row is locked until commit."""

    __tablename__ = "legal_entity"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    address: Mapped[str] = mapped_column(String(1000), default="")
    tax_id: Mapped[str] = mapped_column(String(40), default="")
    prefix: Mapped[str] = mapped_column(String(12))
    next_number: Mapped[int] = mapped_column(default=1)


class Cdr(Base):
    """The charge detail record: registers, periods with evidence, and the frozen tariff."""

    __tablename__ = "cdr"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    session_id: Mapped[str] = mapped_column(ForeignKey("charging_session.id"), unique=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id"), index=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user_account.id"))
    begin_wh: Mapped[int]
    end_wh: Mapped[int]
    energy_wh: Mapped[int]
    begin_ms: Mapped[int]
    end_ms: Mapped[int]
    currency: Mapped[str] = mapped_column(String(3))
    tariff_id: Mapped[str] = mapped_column(String(40))
    tariff_version: Mapped[int]
    tariff_hash: Mapped[str] = mapped_column(String(64))
    body: Mapped[dict[str, Any]]
    created_ms: Mapped[int]


class Invoice(Base):
    """An issued invoice. `body` holds its lines, tax groups and evidence as they were printed."""

    __tablename__ = "invoice"
    __table_args__ = (
        UniqueConstraint("entity_id", "number"),
        Index(None, "user_id", "issued_ms"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    entity_id: Mapped[str] = mapped_column(ForeignKey("legal_entity.id"))
    number: Mapped[int]
    cdr_id: Mapped[str] = mapped_column(ForeignKey("cdr.id"), unique=True)
    session_id: Mapped[str] = mapped_column(ForeignKey("charging_session.id"), unique=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user_account.id"))
    currency: Mapped[str] = mapped_column(String(3))
    net_minor: Mapped[int]
    tax_minor: Mapped[int]
    gross_minor: Mapped[int]
    body: Mapped[dict[str, Any]]
    issued_ms: Mapped[int]


class HoldState(StrEnum):
    """Where a pre-authorisation stands."""

    AUTHORISED = "AUTHORISED"
    CAPTURED = "CAPTURED"  # once, in full or in part; the rest went back with it
    RELEASED = "RELEASED"


class Hold(Base):
    """Money reserved at the gateway for a booking, or for what an invoice exceeds it by."""

    __tablename__ = "payment_hold"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    reference: Mapped[str] = mapped_column(String(80), unique=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user_account.id"))
    intent_id: Mapped[str] = mapped_column(String(80), unique=True)
    currency: Mapped[str] = mapped_column(String(3))
    amount_minor: Mapped[int]
    captured_minor: Mapped[int] = mapped_column(default=0)
    released_minor: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(String(12), default=HoldState.AUTHORISED)
    created_ms: Mapped[int]
    changed_ms: Mapped[int]


class PaymentState(StrEnum):
    """Whether an invoice is paid."""

    SUCCEEDED = "SUCCEEDED"
    DECLINED = "DECLINED"


class Payment(Base):
    """What was paid of an invoice. `parts` are the captures: {hold_id, amount_minor}."""

    __tablename__ = "payment"

    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoice.id"), primary_key=True)
    currency: Mapped[str] = mapped_column(String(3))
    paid_minor: Mapped[int]
    state: Mapped[str] = mapped_column(String(12))
    parts: Mapped[list[Any]]
    reason: Mapped[str] = mapped_column(String(500), default="")
    changed_ms: Mapped[int]


class ParkedBill(Base):
    """A session that cannot be priced: never guessed, listed until somebody mends it."""

    __tablename__ = "parked_bill"

    session_id: Mapped[str] = mapped_column(ForeignKey("charging_session.id"), primary_key=True)
    reason: Mapped[str] = mapped_column(String(1000))
    parked_ms: Mapped[int]


class FakeIntent(Base):
    """The fake gateway's own book; on SQLite it lives in a file of its own, see `gateway`."""

    __tablename__ = "fake_gateway_intent"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    customer: Mapped[str] = mapped_column(String(80))
    currency: Mapped[str] = mapped_column(String(3))
    amount_minor: Mapped[int]
    captured_minor: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(String(12))


class FakeKey(Base):
    """An Idempotency-Key that the fake gateway has answered, with its request."""

    __tablename__ = "fake_gateway_key"

    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    request: Mapped[str] = mapped_column(String(500))
    intent_id: Mapped[str] = mapped_column(String(80))
