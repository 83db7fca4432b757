"""Jinja2 with our filters. Everything is escaped; pages get what they show, never a session."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from baywatt_cloud.kit.identity import Person
from baywatt_contract.clock import EPOCH
from baywatt_contract.money import format_minor

# Scripts, styles and data only from ourselves; nothing inline, nothing framed.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; "
        "form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def money(minor: int, currency: str) -> str:
    """`12.34 EUR`."""
    return format_minor(minor, currency)


def local(utc_ms: int | None, zone: str, pattern: str = "%d %b, %H:%M") -> str:
    """A moment on the site's wall clock; a dash for none."""
    if utc_ms is None:
        return "\N{EN DASH}"
    return (EPOCH + timedelta(milliseconds=utc_ms)).astimezone(ZoneInfo(zone)).strftime(pattern)


def local_text(text: str, zone: str, pattern: str = "%d %b %Y, %H:%M:%S") -> str:
    """An RFC 3339 moment on the site's wall clock."""
    return datetime.fromisoformat(text).astimezone(ZoneInfo(zone)).strftime(pattern)


def kilo(value: int | None, digits: int = 1) -> str:
    """Watts as kilowatts, watt-hours as kilowatt-hours, metres as kilometres."""
    return f"{(value or 0) / 1000:.{digits}f}"


_environment = Environment(
    loader=PackageLoader("baywatt_cloud.pages"),
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters.update(money=money, local=local, local_text=local_text, kilo=kilo)


def render(
    request: Request,
    name: str,
    person: Person | None,
    values: Mapping[str, Any] | None = None,
    status: int = 200,
) -> HTMLResponse:
    """A page or a fragment of one."""
    html = _environment.get_template(name).render(
        request_path=request.url.path, person=person, **(values or {})
    )
    return HTMLResponse(html, status, headers=_HEADERS)
