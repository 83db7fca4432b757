"""Who may charge: cards, apps, the CSMS and the cloud all pass the same door.

The rule of the two masters: `[authority] authorise` names whose word counts. A token in the
cloud's list or in the connector's booking is the cloud's word; RemoteStart and an accepted
Authorize are the CSMS's; the installer at the control socket is always heard.
"""

from __future__ import annotations

import uuid
from dataclasses import replace

from baywatt_contract import events as ev
from baywatt_contract.events import Authority, StartSource, StopReason
from baywatt_contract.messages import ReservationItem, token_hash
from baywatt_contract.observations import FaultCode, TokenSwiped
from baywatt_contract.site_file import Connector
from baywatt_contract.wishes import (
    AuthorisationAnswer,
    AuthorisationQuestion,
    Outcome,
    StartWish,
)
from baywatt_edge.site import reservations, transaction
from baywatt_edge.site.decision import AskAuthorities
from baywatt_edge.site.draft import Draft
from baywatt_edge.site.live import Pending, put, without

_NAMESPACE = uuid.UUID("5f0c9a1e-6c1f-4f52-9a7e-0d5c4b7f2e11")


def swiped(draft: Draft, card: TokenSwiped) -> None:
    """A card: ends its own session, otherwise asks whoever may say yes."""
    connector = draft.rules.connector(card.connector_id)
    if connector is None:
        return
    session = draft.state.connector(connector.id).session
    if session is not None and session.stopping is None:
        if session.token.upper() == card.token.upper():
            transaction.ask_to_stop(
                draft, session, StopReason.LOCAL, StartSource.CARD, token=card.token
            )
        else:
            _refuse(draft, connector, StartSource.CARD, card.token, "another session runs here")
        return
    if any(p.question.connector_id == connector.id for p in draft.live.pending.values()):
        return  # an impatient driver: the first swipe is still being asked about
    if reason := _obstacle(draft, connector, card.token):
        _refuse(draft, connector, StartSource.CARD, card.token, reason)
        return
    _ask(draft, connector, card.token)


def start(draft: Draft, wish: StartWish) -> None:
    """A start by somebody who vouches for the token."""
    if (known := draft.state.wishes.get(wish.wish_id)) is not None:
        draft.answer(Outcome(accepted=True, reason="done before", session=known))
        return
    connector = _choose(draft, wish)
    reason = (
        "no connector is free" if connector is None else _obstacle(draft, connector, wish.token)
    )
    allowed = draft.rules.file.authority.authorise
    if wish.authority is not Authority.LOCAL and allowed not in ("any", wish.authority.value):
        reason = f"this site lets the {allowed} authorise, not the {wish.authority}"
    if connector is None or reason:
        if connector is not None:
            _refuse(draft, connector, wish.source, wish.token, reason, wish.wish_id)
        draft.answer(Outcome(accepted=False, reason=reason))
        return
    session = _authorise(draft, connector, wish)
    draft.answer(Outcome(accepted=True, session=session, connector_id=connector.id))


def answered(draft: Draft, answer: AuthorisationAnswer) -> None:
    """The CSMS said yes, no, or nothing."""
    pending = draft.live.pending.get(answer.question_id)
    if pending is None:
        return
    draft.live = replace(draft.live, pending=without(draft.live.pending, answer.question_id))
    question = pending.question
    connector = draft.rules.connector(question.connector_id)
    if connector is None:
        return
    if not answer.accepted:
        said = "cannot be checked now" if answer.accepted is None else "not accepted"
        reason = f"card {said}{': ' + answer.reason if answer.reason else ''}"
        _refuse(draft, connector, StartSource.CARD, question.token, reason)
        return
    if reason := _obstacle(draft, connector, question.token):
        _refuse(draft, connector, StartSource.CARD, question.token, reason)
        return
    wish = StartWish(
        answer.question_id, connector.id, question.token, StartSource.CARD, answer.authority
    )
    _authorise(draft, connector, wish, remember=False)


def expire_questions(draft: Draft) -> None:
    """A question that nobody answers in time is a no."""
    for key, pending in list(draft.live.pending.items()):
        due = pending.asked_at.mono_ms + draft.rules.question_patience_ms
        if draft.now.mono_ms >= due:
            answered(draft, AuthorisationAnswer(key, Authority.CSMS, accepted=None))
        else:
            draft.wake_at(due)


def _ask(draft: Draft, connector: Connector, token: str) -> None:
    allowed = draft.rules.file.authority.authorise
    hashed = token_hash(draft.rules.file.site.id, token)
    booking = reservations.current(draft.state, draft.live, connector, draft.now)
    listed = draft.live.tokens.get(hashed)
    in_booking = booking is not None and hashed in booking.token_hashes
    if allowed != "csms" and (in_booking or (listed is not None and listed.accepted)):
        driver = listed.driver_id if listed is not None else None
        wish = StartWish(
            f"card:{draft.now.boot}:{draft.now.mono_ms}:{connector.id}",
            connector.id,
            token,
            StartSource.CARD,
            Authority.CLOUD,
            driver_id=driver or (booking.driver_id if booking is not None else None),
        )
        _authorise(draft, connector, wish, remember=False)
        return
    if allowed == "cloud" or not any(station.csms for station in draft.rules.file.stations):
        _refuse(draft, connector, StartSource.CARD, token, "card is not known here")
        return
    question = AuthorisationQuestion(
        f"{draft.now.boot}:{draft.now.mono_ms}:{connector.id}", connector.id, token
    )
    pending = Pending(question, draft.now)
    draft.live = replace(draft.live, pending=put(draft.live.pending, question.question_id, pending))
    draft.do(AskAuthorities(question))


def _choose(draft: Draft, wish: StartWish) -> Connector | None:
    if wish.connector_id:
        return draft.rules.connector(wish.connector_id)
    free = (c for c in draft.rules.file.connectors if not _obstacle(draft, c, wish.token))
    return next(free, None)


def _obstacle(draft: Draft, connector: Connector, token: str) -> str:
    """Why nobody (or not this token) may start here now; empty when nothing stands in the way."""
    state = draft.state.connector(connector.id)
    if connector.is_dc:
        return "DC charging needs ISO 15118, which this version does not speak"
    if not state.operative:
        return "the connector is out of service"
    if draft.live.reset is not None:
        return "the site is about to restart"
    if draft.live.storage_full:
        return "the controller's disk is full: no new session can be recorded"
    if state.session is not None:
        return "another session runs here"
    blocking = faults_that_block(state.faults)
    if blocking:
        return f"the connector has a fault: {', '.join(sorted(blocking))}"
    booking = reservations.current(draft.state, draft.live, connector, draft.now)
    if booking is not None and not _is_theirs(draft, booking, token):
        return f"reserved until {booking.to}"
    return ""


def faults_that_block(faults: frozenset[FaultCode]) -> frozenset[FaultCode]:
    """Faults with which no session may begin; a lock or meter that complains later is not one."""
    return faults - {FaultCode.LOCK_FAILED, FaultCode.VENTILATION}


def _is_theirs(draft: Draft, booking: ReservationItem, token: str) -> bool:
    return token_hash(draft.rules.file.site.id, token) in booking.token_hashes


def _authorise(
    draft: Draft, connector: Connector, wish: StartWish, *, remember: bool = True
) -> str:
    # What a crash left uncommitted is not counted, so the boot is part of the name.
    name = f"{draft.rules.epoch}:{draft.now.boot}:{draft.state.authorised}"
    session = str(uuid.uuid5(_NAMESPACE, name))
    booking = reservations.current(draft.state, draft.live, connector, draft.now)
    theirs = booking if booking is not None and _is_theirs(draft, booking, wish.token) else None
    draft.record(
        ev.SessionAuthorised(
            session=session,
            connector=connector.id,
            source=wish.source,
            authority=wish.authority,
            token=wish.token,
            token_hash=token_hash(draft.rules.file.site.id, wish.token),
            booking_id=theirs.id if theirs is not None else wish.booking_id,
            command_id=wish.wish_id if remember else None,
            driver_id=wish.driver_id or (theirs.driver_id if theirs is not None else None),
            bill=draft.rules.file.authority.bill,
        )
    )
    if theirs is not None:
        draft.record(
            ev.ReservationUsed(booking_id=theirs.id, connector=connector.id, session=session)
        )
    return session


def _refuse(
    draft: Draft,
    connector: Connector,
    source: StartSource,
    token: str,
    reason: str,
    command_id: str | None = None,
) -> None:
    draft.record(
        ev.SessionRefused(
            connector=connector.id,
            source=source,
            token_hash=token_hash(draft.rules.file.site.id, token),
            reason=reason,
            command_id=command_id,
        )
    )
