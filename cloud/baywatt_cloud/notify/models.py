"""The e-mail outbox."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from baywatt_cloud.kit.base import Base


class Mail(Base):
    """One e-mail, written with what caused it; `dedupe` makes it one per cause."""

    __tablename__ = "mail"
    __table_args__ = (Index(None, "sent_ms", "next_ms"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    dedupe: Mapped[str] = mapped_column(String(120), unique=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user_account.id"), index=True)
    to: Mapped[str] = mapped_column("recipient", String(320))
    subject: Mapped[str] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(Text)
    invoice_id: Mapped[str | None] = mapped_column(String(40))  # its PDF is attached when sent
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[str] = mapped_column(String(500), default="")
    next_ms: Mapped[int]
    sent_ms: Mapped[int | None]
    created_ms: Mapped[int]
