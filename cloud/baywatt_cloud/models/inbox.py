"""What sites said, as they said it: the evidence behind everything else."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from baywatt_cloud.kit.base import Base


class InboxState(StrEnum):
    """What became of an event."""

    WAITING = "waiting"  # an earlier one of its stream is missing
    APPLIED = "applied"
    STORED = "stored"  # of a type this version does not know, or telemetry
    PARKED = "parked"  # cannot be applied; a person must look


class InboxEvent(Base):
    """One event, exactly once per (site, stream, epoch, seq)."""

    __tablename__ = "inbox_event"
    __table_args__ = (Index(None, "site_id", "state"), Index(None, "received_ms"))

    site_id: Mapped[str] = mapped_column(ForeignKey("site.id"), primary_key=True)
    stream: Mapped[str] = mapped_column(String(10), primary_key=True)
    epoch: Mapped[str] = mapped_column(String(64), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    type: Mapped[str] = mapped_column(String(64))
    v: Mapped[int]
    time_ms: Mapped[int]
    mono_ms: Mapped[int]
    boot: Mapped[int]
    clock: Mapped[str] = mapped_column(String(10))
    trace: Mapped[str] = mapped_column(String(64), default="")
    data: Mapped[dict[str, Any]]
    session_id: Mapped[str | None] = mapped_column(String(36), index=True)
    state: Mapped[str] = mapped_column(String(10))
    error: Mapped[str | None] = mapped_column(String(1000))
    received_ms: Mapped[int]


class StreamCursor(Base):
    """How far a stream of one epoch is complete: everything up to `upto`, and `islands` above."""

    __tablename__ = "stream_cursor"

    site_id: Mapped[str] = mapped_column(ForeignKey("site.id"), primary_key=True)
    stream: Mapped[str] = mapped_column(String(10), primary_key=True)
    epoch: Mapped[str] = mapped_column(String(64), primary_key=True)
    upto: Mapped[int] = mapped_column(default=0)
    islands: Mapped[list[Any]] = mapped_column(default=list)
    changed_ms: Mapped[int]


class ParkedSession(Base):
    """A session with an event that could not be applied: nothing of it is billed until mended."""

    __tablename__ = "parked_session"

    session_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id"), primary_key=True)
    event_id: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(String(1000))
    parked_ms: Mapped[int]
