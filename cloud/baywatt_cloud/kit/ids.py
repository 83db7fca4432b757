"""Identifiers: sortable by creation time, unguessable, with a prefix that names the kind."""

from __future__ import annotations

import secrets

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case


def new_id(prefix: str, now_ms: int) -> str:
    """`bk_` + 10 characters of time + 16 of chance (80 bits): at most 30 characters."""
    value = (now_ms << 80) | secrets.randbits(80)
    return f"{prefix}_" + "".join(_ALPHABET[(value >> shift) & 31] for shift in range(125, -5, -5))


def new_app_token() -> str:
    """A driver's app identity as an OCPP idTag: `BW` + 14 hex digits (at most 20 characters)."""
    return "BW" + secrets.token_hex(7).upper()


def new_pin() -> str:
    """Six digits that open a booked bay when the phone is dead."""
    return f"{secrets.randbelow(10**6):06d}"


def evse_id(site: str, connector: int) -> str:
    """How drivers name a connector: `harbour.1`."""
    return f"{site}.{connector}"


def bay_id(site: str, bay: str) -> str:
    """How drivers name a bay: `harbour.A1`."""
    return f"{site}.{bay}"
