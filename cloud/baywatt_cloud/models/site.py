"""The catalogue: sites, connectors and bays as the sites describe themselves."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Float, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from baywatt_cloud.kit.base import Base, BigKey


class Site(Base):
    """A charging site. Added by an operator, described by itself, heard over MQTT."""

    __tablename__ = "site"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    credentials_hash: Mapped[str] = mapped_column(String(200))
    name: Mapped[str] = mapped_column(String(500), default="")
    time_zone: Mapped[str] = mapped_column(String(64), default="UTC")
    currency: Mapped[str] = mapped_column(String(3), default="EUR")
    latitude: Mapped[float | None] = mapped_column(Float)
    longitude: Mapped[float | None] = mapped_column(Float)
    fuse_a: Mapped[int] = mapped_column(default=0)
    bill: Mapped[str] = mapped_column(String(10), default="cloud")
    reserve: Mapped[str] = mapped_column(String(10), default="cloud")
    described_ms: Mapped[int | None]
    description: Mapped[dict[str, Any] | None]
    online: Mapped[bool] = mapped_column(default=False)
    presence_ms: Mapped[int | None]
    heard_ms: Mapped[int | None]
    boot: Mapped[int | None]
    epoch: Mapped[str | None] = mapped_column(String(64))
    version: Mapped[str | None] = mapped_column(String(200))
    created_ms: Mapped[int]


class Resource(Base):
    """Anything that can be booked: its number is what the no-overlap rule compares."""

    __tablename__ = "resource"
    __table_args__ = (UniqueConstraint("site_id", "kind", "local_id"),)

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id"))
    kind: Mapped[str] = mapped_column(String(10))  # "evse" or "bay"
    local_id: Mapped[str] = mapped_column(String(500))


class Connector(Base):
    """A connector; `id` is the driver's `evse_id` ("harbour.1")."""

    __tablename__ = "connector"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id"), index=True)
    number: Mapped[int]  # the connector's id on site
    resource_id: Mapped[int] = mapped_column(ForeignKey("resource.id"), unique=True)
    station: Mapped[str] = mapped_column(String(500), default="")
    evse: Mapped[int] = mapped_column(default=0)
    plug: Mapped[str] = mapped_column(String(40), default="")
    current_kind: Mapped[str] = mapped_column(String(4), default="ac")
    max_power_w: Mapped[int] = mapped_column(default=0)
    phases: Mapped[list[Any]] = mapped_column(default=list)
    bay_id: Mapped[str | None] = mapped_column(String(600))  # the bay it serves
    bookable: Mapped[bool] = mapped_column(default=True)
    active: Mapped[bool] = mapped_column(default=True)  # still in the site's description
    status: Mapped[str] = mapped_column(String(20), default="Unknown")
    status_reason: Mapped[str] = mapped_column(String(500), default="")
    status_ms: Mapped[int | None]
    operative: Mapped[bool] = mapped_column(default=True)


class Bay(Base):
    """A parking bay; `id` is the driver's `bay_id` ("harbour.A1")."""

    __tablename__ = "bay"

    id: Mapped[str] = mapped_column(String(600), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id"), index=True)
    local_id: Mapped[str] = mapped_column(String(500))
    resource_id: Mapped[int] = mapped_column(ForeignKey("resource.id"), unique=True)
    active: Mapped[bool] = mapped_column(default=True)
    state: Mapped[str] = mapped_column(String(20), default="unknown")
    state_ms: Mapped[int | None]
