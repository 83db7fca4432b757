"""People and the tokens they identify themselves with at a site."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from baywatt_cloud.kit.base import Base


class Role(StrEnum):
    """What a person may do."""

    DRIVER = "driver"
    OPERATOR = "operator"
    ADMIN = "admin"


class User(Base):
    """A person with a password."""

    __tablename__ = "user_account"  # "user" is a reserved word in PostgreSQL

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    email: Mapped[str] = mapped_column(String(320), unique=True)  # lower case
    password_hash: Mapped[str] = mapped_column(String(200))
    name: Mapped[str] = mapped_column(String(200), default="")
    role: Mapped[str] = mapped_column(String(20), default=Role.DRIVER)
    locale: Mapped[str] = mapped_column(String(20), default="en")
    active: Mapped[bool] = mapped_column(default=True)
    created_ms: Mapped[int]


class UserToken(Base):
    """An RFID card or the app's own identity. Sites only ever get `token_hash(site, uid)`."""

    __tablename__ = "user_token"
    __table_args__ = (UniqueConstraint("uid"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user_account.id"), index=True)
    uid: Mapped[str] = mapped_column(String(128))  # upper case
    kind: Mapped[str] = mapped_column(String(10))  # "app" or "card"
    active: Mapped[bool] = mapped_column(default=True)
    created_ms: Mapped[int]
