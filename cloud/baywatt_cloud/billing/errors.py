"""What may keep a session from being billed or paid."""

from __future__ import annotations


class BillingError(Exception):
    """Base of this room's errors."""


class CannotBillError(BillingError):
    """The session cannot be priced as it stands: park it with this reason, do not guess."""


class GatewayError(BillingError):
    """Base of what a payment gateway answers with."""


class GatewayUnavailableError(GatewayError):
    """No answer: the effect may have happened. Repeat with the same key."""


class DeclinedError(GatewayError):
    """The gateway answered no: another means of payment is needed."""


class GatewayRefusedError(GatewayError):
    """The request does not fit the intent's state, or reuses a key: a mistake of ours."""
