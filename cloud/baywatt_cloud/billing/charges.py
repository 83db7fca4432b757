"""From an exact price to the lines and figures that are shown, captured and invoiced. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from baywatt_contract.money import Line, Total, format_minor, total
from baywatt_contract.tariff import Priced, PricedLine
from baywatt_contract.tariff.border import ratio

_LABELS = {
    "ENERGY": ("Energy", "kWh"),
    "TIME": ("Charging time", "h"),
    "PARKING_TIME": ("Idle time", "h"),
    "FLAT": ("Session fee", ""),
    "MIN_PRICE": ("Up to the minimum price", ""),
    "MAX_PRICE": ("Down to the maximum price", ""),
}


@dataclass(frozen=True, slots=True)
class Charge:
    """One line for people: how much of what, by which clause, for how much without tax."""

    label: str
    dimension: str
    clause: str
    quantity: Fraction
    unit: str
    unit_price: Fraction
    tax_percent: Fraction
    amount_minor: int
    periods: tuple[int, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As it stands in invoices and quotes; exact figures as `n/d`, and in words."""
        return {
            "label": self.label,
            "dimension": self.dimension,
            "clause": self.clause,
            "quantity": ratio(self.quantity),
            "quantity_text": quantity_text(self.quantity, self.unit),
            "unit_price": ratio(self.unit_price),
            "unit_price_text": price_text(self.unit_price) + (f"/{self.unit}" if self.unit else ""),
            "tax_percent": percent_text(self.tax_percent),
            "amount_minor": self.amount_minor,
        }


@dataclass(frozen=True, slots=True)
class Bill:
    """Lines and totals in minor units."""

    currency: str
    charges: tuple[Charge, ...]
    total: Total

    @property
    def gross_minor(self) -> int:
        """What is captured, shown and invoiced."""
        return self.total.gross_minor

    def as_json(self) -> dict[str, Any]:
        """Lines, tax groups and totals."""
        return {
            "currency": self.currency,
            "lines": [charge.as_json() for charge in self.charges],
            "taxes": [
                {
                    "tax_percent": percent_text(group.tax_percent),
                    "net_minor": group.net_minor,
                    "tax_minor": group.tax_minor,
                }
                for group in self.total.groups
            ],
            "net_minor": self.total.net_minor,
            "tax_minor": self.total.tax_minor,
            "gross_minor": self.total.gross_minor,
            "gross_text": format_minor(self.total.gross_minor, self.currency),
        }


def bill(priced: Priced) -> Bill:
    """The figures: each line rounded half up once, tax once per rate."""
    lines = [*_used(priced), *_adjustments(priced)]
    figures = total(
        (Line(label_of(line), line.excl_vat, line.vat_percent) for line in lines), priced.currency
    )
    charges = tuple(
        _charge(line, minor) for line, minor in zip(lines, figures.lines_minor, strict=True)
    )
    return Bill(priced.currency, charges, figures)


def _used(priced: Priced) -> list[PricedLine]:
    return [line for line in priced.lines if not line.dimension.endswith("_PRICE")]


def _adjustments(priced: Priced) -> list[PricedLine]:
    """The tariff's bound, spread over the tax rates of what it bounds so that gross meets it."""
    adjusting = [line for line in priced.lines if line.dimension.endswith("_PRICE")]
    delta = sum((line.incl_vat for line in adjusting), Fraction())
    if not adjusting or not delta:
        return []
    last = adjusting[-1]
    gross: dict[Fraction, Fraction] = {}
    for line in _used(priced):
        gross[line.vat_percent] = gross.get(line.vat_percent, Fraction()) + line.incl_vat
    whole = sum(gross.values(), Fraction())
    if not whole:
        gross, whole = {_rate(last): Fraction(1)}, Fraction(1)
    return [_share(last, percent, delta * part / whole) for percent, part in gross.items() if part]


def _rate(line: PricedLine) -> Fraction:
    return (line.incl_vat / line.excl_vat - 1) * 100 if line.excl_vat else Fraction(0)


def _share(line: PricedLine, percent: Fraction, incl: Fraction) -> PricedLine:
    excl = incl / (1 + percent / 100)
    return PricedLine(line.dimension, line.clause, Fraction(1), excl, percent, excl, incl)


def label_of(line: PricedLine) -> str:
    """What people call the line."""
    name, _ = _LABELS[line.dimension]
    return f"Reservation: {name.lower()}" if line.reservation else name


def unit_of(line: PricedLine) -> str:
    """`kWh`, `h`, or nothing."""
    return _LABELS[line.dimension][1]


def _charge(line: PricedLine, amount_minor: int) -> Charge:
    return Charge(
        label=label_of(line),
        dimension=line.dimension,
        clause=line.clause,
        quantity=line.quantity,
        unit=unit_of(line),
        unit_price=line.unit_price,
        tax_percent=line.vat_percent,
        amount_minor=amount_minor,
        periods=line.periods,
    )


def quantity_text(quantity: Fraction, unit: str) -> str:
    """`12.345 kWh`, `1:05:00 h`, `1`."""
    if unit == "h":
        seconds = round(quantity * 3600)
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d} h"
    return f"{float(quantity):.3f} kWh" if unit == "kWh" else str(round(quantity))


def price_text(value: Fraction) -> str:
    """A price as people write it: at least two digits after the point, at most six."""
    whole, _, digits = f"{float(value):.6f}".rstrip("0").partition(".")
    return f"{whole}.{digits:0<2}"


def percent_text(value: Fraction) -> str:
    """`19`, `8.1`."""
    return f"{float(value):.4f}".rstrip("0").rstrip(".")
