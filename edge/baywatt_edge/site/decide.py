"""The one entry of the site core: an input in, a decision out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from baywatt_contract.clock import Instant
from baywatt_contract.observations import BayObserved, LinkChanged, MeterReading, TokenSwiped
from baywatt_contract.wishes import (
    AuthorisationAnswer,
    AvailabilityWish,
    LimitWish,
    Outcome,
    ReservationsHeld,
    ResetWish,
    SamplingWish,
    StartWish,
    StopWish,
    TokensKnown,
    UnlockWish,
)
from baywatt_edge.site import authorise, availability, bays, faults, sampling, status, transaction
from baywatt_edge.site.decision import Decision, GrantsChanged, Input, StorageChanged
from baywatt_edge.site.draft import Draft
from baywatt_edge.site.live import Live, note
from baywatt_edge.site.rules import SiteRules
from baywatt_edge.site.state import SiteState


def decide(rules: SiteRules, state: SiteState, live: Live, input_: Input, now: Instant) -> Decision:
    """What follows from `input_`: events, effects, an answer to a wish, the next deadline.

    Pure: the same arguments give the same decision, so recorded inputs can be replayed.
    """
    draft = Draft(rules, state, note(live, input_), now)
    if (handler := _HANDLERS.get(type(input_))) is not None:
        handler(draft, input_)
    for connector in rules.file.connectors:
        faults.settle(draft, connector)
        transaction.settle(draft, connector)
        sampling.settle(draft, connector)
        status.settle(draft, connector)
    bays.settle(draft)
    authorise.expire_questions(draft)
    availability.settle_reset(draft)
    return draft.finish()


def _hold_reservations(draft: Draft, _held: ReservationsHeld) -> None:
    bays.hold_reservations(draft)
    draft.answer(Outcome(accepted=True))


def _noted(draft: Draft, _wish: TokensKnown | SamplingWish | LimitWish) -> None:
    draft.answer(Outcome(accepted=True))


def _grants(draft: Draft, changed: GrantsChanged) -> None:
    draft.live = replace(draft.live, grants=dict(changed.grants))
    sampling.limits_changed(draft)


def _storage(draft: Draft, changed: StorageChanged) -> None:
    draft.live = replace(draft.live, storage_full=changed.full)


# What is not named here was noted in `live`; the rules that settle look at it there.
_HANDLERS: dict[type, Callable[[Draft, Any], None]] = {
    TokenSwiped: authorise.swiped,
    StartWish: authorise.start,
    AuthorisationAnswer: authorise.answered,
    StopWish: transaction.stop,
    UnlockWish: availability.unlock,
    AvailabilityWish: availability.change,
    ResetWish: availability.reset,
    ReservationsHeld: _hold_reservations,
    TokensKnown: _noted,
    SamplingWish: _noted,
    LimitWish: _noted,
    MeterReading: sampling.telemetry,
    LinkChanged: faults.link_changed,
    BayObserved: bays.observed,
    GrantsChanged: _grants,
    StorageChanged: _storage,
}
