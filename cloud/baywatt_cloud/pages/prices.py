"""What a tariff says in a line, tax included: what is shown before anybody asks. Pure."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from pydantic import ValidationError

from baywatt_cloud.billing.charges import price_text
from baywatt_contract.tariff import Dimension, Tariff
from baywatt_contract.tariff.model import PriceComponent

_PHRASES = {
    Dimension.ENERGY: "{price}/kWh",
    Dimension.FLAT: "{price} per session",
    Dimension.TIME: "{price}/h while charging",
    Dimension.PARKING_TIME: "{price}/h when full",
}


def in_words(ocpi: dict[str, Any] | None) -> str:
    """`0.583 EUR/kWh + 0.42 EUR per session …`, tax included; empty when it cannot be read."""
    try:
        tariff = Tariff.model_validate(ocpi)
    except ValidationError:
        return ""
    phrases = [_phrase(tariff, dimension) for dimension in _PHRASES]
    return " + ".join(filter(None, phrases))


def _phrase(tariff: Tariff, dimension: Dimension) -> str:
    found = [
        component
        for element in tariff.elements
        for component in element.price_components
        if component.type is dimension and element.limits.reservation is None
    ]
    if not found:
        return ""
    digits = 3 if dimension is Dimension.ENERGY else 2
    prices = sorted({round(_gross(component), digits) for component in found})
    text = "\N{EN DASH}".join(price_text(price) for price in dict.fromkeys((prices[0], prices[-1])))
    return _PHRASES[dimension].format(price=f"{text} {tariff.currency}")


def _gross(component: PriceComponent) -> Fraction:
    return Fraction(component.price) * (1 + Fraction(component.vat or 0) / 100)
