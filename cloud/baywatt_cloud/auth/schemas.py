"""Requests and answers of /auth."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, EmailStr, Field

Uid = Annotated[
    str,
    Field(min_length=4, max_length=36, pattern=r"^[0-9A-Za-z*\-_=:+|@.]+$", examples=["04A1B2C3"]),
]


class Registration(BaseModel):
    """A new driver."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"email": "kim@example.org", "password": "a long pass phrase"}]
        }
    )
    email: EmailStr
    password: Annotated[str, Field(min_length=8, max_length=200)]
    name: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f]*$")] = ""


class Me(BaseModel):
    """The person behind the access token."""

    user_id: str
    email: str
    name: str
    role: str
    app_token: str
    cards: list[str]


class AccessToken(BaseModel):
    """An OAuth2 bearer token."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105 - the scheme's name
    expires_in: int


class CardRequest(BaseModel):
    """An RFID card of mine, by the UID a reader shows."""

    uid: Uid


class Card(BaseModel):
    """A registered card."""

    token_id: str
    uid: str
