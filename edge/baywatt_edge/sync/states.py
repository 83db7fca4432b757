"""The cloud's desired state: versioned documents that the site holds, offline too. Pure."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from baywatt_contract.envelope import BadPayloadError, unpack
from baywatt_contract.messages import ReservationItem, StateDocument, TokenItem, items_hash
from baywatt_contract.topics import StateTopic
from baywatt_contract.wishes import ReservationsHeld, TokensKnown

PREFIX = "state:"
StateWish = ReservationsHeld | TokensKnown


class BadStateError(ValueError):
    """A desired state that must not be held: damaged, or not understood. Keep the old one."""


def parse_state(leaf: StateTopic, payload: bytes) -> StateDocument:
    """The document in a retained message; raises BadStateError naming what is wrong."""
    try:
        return check_state(leaf, unpack(payload))
    except BadPayloadError as error:
        raise BadStateError(f"{leaf}: {error}") from error


def check_state(leaf: StateTopic, value: Any) -> StateDocument:  # noqa: ANN401 - JSON
    """A document from its JSON value, whole and with the right hash; raises BadStateError."""
    try:
        document = StateDocument.model_validate(value)
        if items_hash(document.items) != document.hash:
            raise BadStateError(f"{leaf} revision {document.rev}: its hash does not fit its items")
        state_wish(leaf, document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise BadStateError(f"{leaf}: {first['loc']}: {first['msg']}") from error
    return document


def state_wish(leaf: StateTopic, document: StateDocument) -> StateWish | None:
    """What the site is asked to hold; None for states that are only stored."""
    if leaf is StateTopic.RESERVATIONS:
        bookings = tuple(ReservationItem.model_validate(item) for item in document.items)
        return ReservationsHeld(document.rev, bookings)
    if leaf is StateTopic.TOKENS:
        tokens = tuple(TokenItem.model_validate(item) for item in document.items)
        return TokensKnown(document.rev, tokens)
    return None
