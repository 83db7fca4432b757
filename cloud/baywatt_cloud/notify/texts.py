"""What the e-mails say. Short, friendly, no surprises. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from baywatt_contract.money import format_minor


@dataclass(frozen=True, slots=True)
class Text:
    """Subject and body of an e-mail."""

    subject: str
    body: str


def receipt(invoice: dict[str, Any], name: str, url: str) -> Text:
    """The invoice is paid; it is attached."""
    zone = ZoneInfo(invoice["time_zone"])
    begin = datetime.fromisoformat(invoice["begin"]).astimezone(zone)
    amount = format_minor(invoice["gross_minor"], invoice["currency"])
    site = invoice["site"]["name"]
    lines = "\n".join(
        f"  {line['label']}: {line['quantity_text']} at {line['unit_price_text']}"
        for line in invoice["lines"]
    )
    return Text(
        subject=f"Your receipt {invoice['number']}: {amount}",
        body=(
            f"Hello{_name(name)},\n\n"
            f"thank you for charging at {site} on {begin:%d %B %Y at %H:%M}.\n"
            f"You took {invoice['energy_wh'] / 1000:.3f} kWh and paid {amount}:\n\n"
            f"{lines}\n\n"
            f"The receipt is attached. It shows the meter readings behind every line.\n"
            f"Online: {url}\n\n"
            "Have a good trip!\n"
        ),
    )


def declined(invoice: dict[str, Any], name: str, reason: str, url: str) -> Text:
    """The payment did not go through."""
    amount = format_minor(invoice["gross_minor"], invoice["currency"])
    return Text(
        subject=f"We could not collect {amount} for {invoice['number']}",
        body=(
            f"Hello{_name(name)},\n\n"
            f"your payment for charging at {invoice['site']['name']} did not go through"
            f"{': ' + reason if reason else ''}.\n"
            f"The invoice over {amount} is attached. Please choose another means of payment:\n"
            f"{url}\n"
        ),
    )


def _name(name: str) -> str:
    """No line of a name may become a header or a second line."""
    clean = " ".join(name.split())
    return f" {clean}" if clean else ""
