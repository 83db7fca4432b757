"""Domain events with their deliveries, stored answers of idempotent requests, own secrets."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from baywatt_cloud.kit.base import Base, BigKey


class DomainEvent(Base):
    """Something that happened in the cloud, written in the transaction that made it happen."""

    __tablename__ = "domain_event"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    context: Mapped[str] = mapped_column(String(40))
    type: Mapped[str] = mapped_column(String(80), index=True)
    data: Mapped[dict[str, Any]]
    trace: Mapped[str] = mapped_column(String(64), default="")
    time_ms: Mapped[int]


class Delivery(Base):
    """One event for one subscriber, tried until it is done."""

    __tablename__ = "delivery"
    __table_args__ = (Index(None, "subscriber", "done_ms", "next_ms"),)

    event_id: Mapped[int] = mapped_column(ForeignKey("domain_event.id"), primary_key=True)
    subscriber: Mapped[str] = mapped_column(String(80), primary_key=True)
    attempts: Mapped[int] = mapped_column(default=0)
    next_ms: Mapped[int]
    done_ms: Mapped[int | None]
    error: Mapped[str] = mapped_column(String(1000), default="")


class IdempotencyKey(Base):
    """The first answer to a request with an Idempotency-Key, replayed to its repeats."""

    __tablename__ = "idempotency_key"
    __table_args__ = (Index(None, "created_ms"),)

    principal: Mapped[str] = mapped_column(String(80), primary_key=True)
    route: Mapped[str] = mapped_column(String(200), primary_key=True)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    request_hash: Mapped[str] = mapped_column(String(64))
    status: Mapped[int]
    body: Mapped[str] = mapped_column(Text)
    created_ms: Mapped[int]


class Secret(Base):
    """Keys minted by this installation, shared by its replicas."""

    __tablename__ = "secret"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[str] = mapped_column(String(200))
