"""In and out of service, unlocking, and a restart that first ends what runs."""

from __future__ import annotations

from dataclasses import replace

from baywatt_contract import events as ev
from baywatt_contract.events import StopReason
from baywatt_contract.wishes import AvailabilityWish, Outcome, ResetWish, UnlockWish
from baywatt_edge.site import transaction
from baywatt_edge.site.decision import Restart
from baywatt_edge.site.draft import Draft

_RESTART_PATIENCE_MS = 30_000


def change(draft: Draft, wish: AvailabilityWish) -> None:
    """Persisted at once; a running session ends by itself first (the outcome says so)."""
    ids = [c.id for c in draft.rules.file.connectors if wish.connector_id in (0, c.id)]
    if not ids:
        draft.answer(Outcome(accepted=False, reason=f"there is no connector {wish.connector_id}"))
        return
    scheduled = False
    for connector_id in ids:
        state = draft.state.connector(connector_id)
        if state.operative != wish.operative:
            draft.record(
                ev.AvailabilityChanged(connector=connector_id, operative=wish.operative, by=wish.by)
            )
        scheduled |= state.session is not None and not wish.operative
    draft.answer(Outcome(accepted=True, reason="scheduled" if scheduled else ""))


def unlock(draft: Draft, wish: UnlockWish) -> None:
    """Ends a running session; the plug is released when its contactor is open."""
    if draft.rules.connector(wish.connector_id) is None:
        draft.answer(Outcome(accepted=False, reason=f"there is no connector {wish.connector_id}"))
        return
    session = draft.state.connector(wish.connector_id).session
    if session is not None:
        transaction.ask_to_stop(draft, session, StopReason.UNLOCK_COMMAND, command_id=wish.wish_id)
    unlocks = draft.live.unlocks | {wish.connector_id}
    draft.live = replace(draft.live, unlocks=unlocks)
    draft.answer(Outcome(accepted=True, connector_id=wish.connector_id))


def reset(draft: Draft, wish: ResetWish) -> None:
    """End every session with the reset's reason, then restart."""
    reason = StopReason.HARD_RESET if wish.hard else StopReason.SOFT_RESET
    for session in draft.state.sessions():
        transaction.ask_to_stop(draft, session, reason)
    draft.live = replace(draft.live, reset=wish, reset_at=draft.now)
    draft.answer(Outcome(accepted=True))


def settle_reset(draft: Draft) -> None:
    """Restart as soon as no transaction is open, at the latest after half a minute."""
    if draft.live.reset is None or draft.live.reset_at is None:
        return
    due = draft.live.reset_at.mono_ms + _RESTART_PATIENCE_MS
    if any(session.charging for session in draft.state.sessions()) and draft.now.mono_ms < due:
        draft.wake_at(due)
        return
    draft.do(Restart(draft.live.reset.hard))
