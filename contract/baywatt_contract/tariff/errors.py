"""What can be wrong with a request to price."""

from __future__ import annotations


class PricingError(ValueError):
    """Nothing was priced; the text names the thing and the fix."""


class BadPeriodsError(PricingError):
    """The charging periods overlap, run backwards or span too long: correct the session."""


class BadTimeZoneError(PricingError):
    """The time zone is not in the IANA database: correct the site."""
