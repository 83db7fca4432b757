"""What is promised before anybody plugs in: tariffs by version, quotes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from baywatt_cloud.kit.base import Base


class Tariff(Base):
    """One immutable version of a tariff (OCPI 2.2.1 JSON); `site_id` None is the default."""

    __tablename__ = "tariff"
    __table_args__ = (Index(None, "site_id", "valid_from_ms"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    site_id: Mapped[str | None] = mapped_column(ForeignKey("site.id"))
    currency: Mapped[str] = mapped_column(String(3))
    ocpi: Mapped[dict[str, Any]]
    hash: Mapped[str] = mapped_column(String(64))
    valid_from_ms: Mapped[int]
    created_ms: Mapped[int]


class Quote(Base):
    """A price shown to a driver before the plug goes in; never changed afterwards."""

    __tablename__ = "quote"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user_account.id"), index=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id"))
    evse_id: Mapped[str | None] = mapped_column(ForeignKey("connector.id"))
    bay_id: Mapped[str | None] = mapped_column(ForeignKey("bay.id"))
    from_ms: Mapped[int]
    to_ms: Mapped[int]
    energy_wh: Mapped[int | None]
    tariff_id: Mapped[str] = mapped_column(String(40))
    tariff_version: Mapped[int]
    currency: Mapped[str] = mapped_column(String(3))
    likely_minor: Mapped[int]
    worst_minor: Mapped[int]
    body: Mapped[dict[str, Any]]
    valid_until_ms: Mapped[int]
    created_ms: Mapped[int]
