"""Charging sessions as the sites reported them, with their evidence."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from baywatt_cloud.kit.base import Base, BigKey


class ChargingSession(Base):
    """One visit: authorised → charging → stopped → ended.

    `energy_wh` = last register - begin register; both registers are the meter's own.
    `completed_ms` is set exactly once, when the transaction has stopped and the visit has ended.
    """

    __tablename__ = "charging_session"
    __table_args__ = (Index(None, "site_id", "status"), Index(None, "user_id", "authorised_ms"))

    id: Mapped[str] = mapped_column(String(36), primary_key=True)  # given by the site
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id"))
    connector: Mapped[int]
    evse_id: Mapped[str] = mapped_column(String(80))
    user_id: Mapped[str | None] = mapped_column(ForeignKey("user_account.id"))
    booking_id: Mapped[str | None] = mapped_column(ForeignKey("booking.id"))
    quote_id: Mapped[str | None] = mapped_column(String(40))
    hold_id: Mapped[str | None] = mapped_column(String(80))
    command_id: Mapped[str | None] = mapped_column(String(64))
    source: Mapped[str] = mapped_column(String(12), default="")
    authority: Mapped[str] = mapped_column(String(12), default="")
    token: Mapped[str] = mapped_column(String(128), default="")
    bill: Mapped[str] = mapped_column(String(10), default="cloud")  # whose ledger bills it
    status: Mapped[str] = mapped_column(String(12), default="authorised")
    meter: Mapped[str] = mapped_column(String(500), default="")
    begin_wh: Mapped[int | None]
    last_wh: Mapped[int | None]  # the newest register reading
    end_wh: Mapped[int | None]
    power_w: Mapped[int | None]
    limit_ma: Mapped[int | None]
    stop_reason: Mapped[str] = mapped_column(String(40), default="")
    end_reason: Mapped[str] = mapped_column(String(500), default="")
    estimated: Mapped[bool] = mapped_column(Boolean, default=False)
    tariff_id: Mapped[str | None] = mapped_column(String(40))  # frozen when charging starts
    tariff_version: Mapped[int | None]
    authorised_ms: Mapped[int]
    started_ms: Mapped[int | None]
    stopped_ms: Mapped[int | None]
    ended_ms: Mapped[int | None]
    completed_ms: Mapped[int | None]
    duration_ms: Mapped[int | None]  # of the transaction, by the site's monotonic clock
    clock: Mapped[str] = mapped_column(String(10), default="synced")  # worst quality seen


class MeterSample(Base):
    """A billing-grade reading; begin and end readings of the transaction are rows too."""

    __tablename__ = "meter_sample"
    __table_args__ = (UniqueConstraint("session_id", "epoch", "seq"),)

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    session_id: Mapped[str] = mapped_column(ForeignKey("charging_session.id"))
    epoch: Mapped[str] = mapped_column(String(64))
    seq: Mapped[int]
    time_ms: Mapped[int]
    mono_ms: Mapped[int]
    boot: Mapped[int]
    context: Mapped[str] = mapped_column(String(20))
    energy_wh: Mapped[int]
    power_w: Mapped[int]
    current_ma: Mapped[list[Any]]
    voltage_mv: Mapped[list[Any] | None]
    offered_ma: Mapped[int]
    vehicle_requests: Mapped[bool] = mapped_column(Boolean, default=True)


class LimitChange(Base):
    """What a connector was allowed to draw from this moment on, and which rule said so."""

    __tablename__ = "limit_change"
    __table_args__ = (
        UniqueConstraint("site_id", "epoch", "seq"),
        Index(None, "site_id", "connector", "time_ms"),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id"))
    connector: Mapped[int]
    session_id: Mapped[str | None] = mapped_column(String(36), index=True)
    epoch: Mapped[str] = mapped_column(String(64))
    seq: Mapped[int]
    time_ms: Mapped[int]
    limit_ma: Mapped[int]
    rule: Mapped[str] = mapped_column(String(500))
    reason: Mapped[str] = mapped_column(String(500))


class Fault(Base):
    """A fault from when it was raised until it was cleared."""

    __tablename__ = "fault"
    __table_args__ = (
        UniqueConstraint("site_id", "epoch", "seq"),
        Index(None, "site_id", "cleared_ms"),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id"))
    epoch: Mapped[str] = mapped_column(String(64))
    seq: Mapped[int]
    fault: Mapped[str] = mapped_column(String(40))
    connector: Mapped[int | None]
    device: Mapped[str | None] = mapped_column(String(500))
    detail: Mapped[str] = mapped_column(String(500), default="")
    raised_ms: Mapped[int]
    cleared_ms: Mapped[int | None]
