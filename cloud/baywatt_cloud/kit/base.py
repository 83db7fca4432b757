"""The declarative base and the column types that are the same in both databases."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Integer, MetaData
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

JsonValue = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
BigKey = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit key that SQLite can count up by itself (its INTEGER PRIMARY KEY)."""


class Base(DeclarativeBase):
    """Every table of the cloud. Moments are `*_ms`: UTC milliseconds since 1970."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        int: BigInteger,
        dict[str, Any]: JsonValue,
        list[Any]: JsonValue,
    }
