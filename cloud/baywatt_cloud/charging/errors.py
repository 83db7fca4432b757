"""What can be wrong with a booking or a command, for the caller."""

from __future__ import annotations

from baywatt_cloud.kit.problems import ConflictError, UnprocessableError


class NotBookableError(ConflictError):
    """The connector or bay cannot be booked with us: choose another."""

    kind, title = "not-bookable", "Cannot be booked"


class QuoteExpiredError(ConflictError):
    """The price offer is not valid any more: ask for a new one."""

    kind, title = "quote-expired", "The quote is not valid any more"


class WindowError(UnprocessableError):
    """The window makes no sense: change from or to."""

    kind, title = "window", "This window cannot be booked"


class WrongStateError(ConflictError):
    """The booking or session is past the point where this is possible."""

    kind, title = "wrong-state", "Not possible in this state"
