"""POST /wish/…: what the installer asks, in the same words as CSMS and cloud."""

from __future__ import annotations

import uuid
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from baywatt_contract.events import Authority, StartSource, StopReason
from baywatt_contract.wishes import AvailabilityWish, Outcome, StartWish, StopWish, UnlockWish, Wish
from baywatt_edge.control.http import HttpError

INSTALLER_TOKEN = "INSTALLER"  # noqa: S105 - an identity, no secret


class WishBody(BaseModel):
    """The body of every wish. The same `wish_id` sent twice has one effect and one answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    connector: Annotated[int, Field(ge=0, le=999)]
    token: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,36}$")] = INSTALLER_TOKEN
    wish_id: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        default_factory=lambda: f"control-{uuid.uuid4()}"
    )


def parse_wish(path: str, body: bytes) -> Wish:
    """The wish of a request; raises HttpError 404 for an unknown path, 400 for a bad body."""
    try:
        asked = WishBody.model_validate_json(body or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "body"
        raise HttpError(400, f"{key}: {first['msg']}") from error
    return _wish(path, asked)


def _wish(path: str, asked: WishBody) -> Wish:
    if path == "/wish/session/start":
        return StartWish(
            asked.wish_id, asked.connector, asked.token, StartSource.CONTROL, Authority.LOCAL
        )
    if path == "/wish/session/stop":
        return StopWish(
            asked.wish_id,
            StartSource.CONTROL,
            connector_id=asked.connector,
            reason=StopReason.LOCAL,
        )
    if path == "/wish/connector/unlock":
        return UnlockWish(asked.wish_id, asked.connector)
    if path in ("/wish/connector/enable", "/wish/connector/disable"):
        return AvailabilityWish(
            asked.wish_id, asked.connector, path.endswith("/enable"), by="installer"
        )
    raise HttpError(404, f"no such wish: {path}")


def outcome_document(outcome: Outcome) -> dict[str, object]:
    """The answer to a wish as the client reads it."""
    return {
        "accepted": outcome.accepted,
        "reason": outcome.reason,
        "session": outcome.session,
        "connector": outcome.connector_id,
    }
