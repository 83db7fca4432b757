"""The site's answers to what the cloud wanted: commands and bookings."""

from __future__ import annotations

from baywatt_cloud.charging import lifecycle
from baywatt_cloud.ingest.scope import Scope
from baywatt_cloud.models import Booking, BookingStatus, Command, CommandStatus
from baywatt_contract.events import (
    CommandDone,
    CommandRefused,
    ReservationApplied,
    ReservationNoShow,
    ReservationUsed,
)


async def command_done(scope: Scope, payload: CommandDone) -> None:
    """A command had its effect."""
    command = await _command(scope, payload.id)
    if command is not None:
        command.status, command.session_id = CommandStatus.DONE, payload.session
        command.answered_ms = scope.event.time_ms


async def command_refused(scope: Scope, payload: CommandRefused) -> None:
    """A command was not carried out."""
    command = await _command(scope, payload.id)
    if command is not None:
        command.status, command.reason = CommandStatus.REFUSED, payload.reason
        command.answered_ms = scope.event.time_ms


async def _command(scope: Scope, command_id: str) -> Command | None:
    """Ours, of this site and without an answer (the first one counts)."""
    command = await scope.db.get(Command, command_id)
    if command is None or command.site_id != scope.site.id or command.answered_ms is not None:
        return None
    return command


async def _booking(scope: Scope, booking_id: str) -> Booking | None:
    booking = await scope.db.get(Booking, booking_id)
    return booking if booking and booking.site_id == scope.site.id else None


async def reservation_applied(scope: Scope, payload: ReservationApplied) -> None:
    """The site holds this booking now."""
    booking = await _booking(scope, payload.booking_id)
    if booking is not None:
        booking.applied_rev = max(payload.rev, booking.applied_rev or 0)
        booking.applied_ms = scope.event.time_ms


async def reservation_used(scope: Scope, payload: ReservationUsed) -> None:
    """The booking's driver arrived."""
    booking = await _booking(scope, payload.booking_id)
    if booking is not None:
        booking.session_id = payload.session
        await scope.db.flush()
        await lifecycle.transition(
            scope.db, booking, BookingStatus.ACTIVE, (BookingStatus.RESERVED,), scope.now_ms,
            trace=scope.event.trace,
        )  # fmt: skip


async def reservation_no_show(scope: Scope, payload: ReservationNoShow) -> None:
    """Nobody came although the connector was held: the site's word is the proof."""
    booking = await _booking(scope, payload.booking_id)
    if booking is not None:
        held = "held and operative" if payload.operative else "not operative all the time"
        await lifecycle.transition(
            scope.db, booking, BookingStatus.NO_SHOW, (BookingStatus.RESERVED,), scope.now_ms,
            reason=f"nobody came within {payload.held_ms // 60_000} min; connector {held}",
            trace=scope.event.trace,
        )  # fmt: skip
