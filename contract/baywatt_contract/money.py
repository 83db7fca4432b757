"""Money: exact inside, rounded half up once per line, stored in minor units with a currency."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

# ISO 4217 minor-unit exponents that are not 2.
_EXPONENTS = {
    "BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3,
    "BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0,
    "RWF": 0, "UGX": 0, "UYI": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
}  # fmt: skip


def exponent(currency: str) -> int:
    """Digits after the point of a currency's minor unit (ISO 4217)."""
    return _EXPONENTS.get(currency, 2)


def round_half_up(value: Fraction) -> int:
    """The nearest integer, halves away from zero."""
    doubled = abs(value) * 2 + 1
    magnitude = doubled.numerator // (2 * doubled.denominator)
    return -magnitude if value < 0 else magnitude


def to_minor(amount: Fraction, currency: str) -> int:
    """An exact amount in major units, rounded half up to minor units."""
    return round_half_up(amount * 10 ** exponent(currency))


def from_minor(amount_minor: int, currency: str) -> Fraction:
    """The exact amount in major units."""
    return Fraction(amount_minor, 10 ** exponent(currency))


def format_minor(amount_minor: int, currency: str) -> str:
    """`12.34 EUR`, for logs and plain text; pages format by locale."""
    digits = exponent(currency)
    return f"{Decimal(amount_minor).scaleb(-digits):.{digits}f} {currency}"


@dataclass(frozen=True, slots=True)
class Line:
    """One invoice line before tax grouping: exact net (or gross) amount and tax rate in percent."""

    label: str
    amount: Fraction
    tax_percent: Fraction
    tax_included: bool = False


@dataclass(frozen=True, slots=True)
class TaxGroup:
    """The lines of one tax rate, in minor units."""

    tax_percent: Fraction
    net_minor: int
    tax_minor: int

    @property
    def gross_minor(self) -> int:
        """Net plus tax."""
        return self.net_minor + self.tax_minor


@dataclass(frozen=True, slots=True)
class Total:
    """An invoice's figures: rounded lines and tax groups; the total is the groups' sum."""

    lines_minor: tuple[int, ...]
    groups: tuple[TaxGroup, ...]

    @property
    def net_minor(self) -> int:
        """Sum of the groups' net."""
        return sum(group.net_minor for group in self.groups)

    @property
    def tax_minor(self) -> int:
        """Sum of the groups' tax."""
        return sum(group.tax_minor for group in self.groups)

    @property
    def gross_minor(self) -> int:
        """What is captured, shown and invoiced."""
        return self.net_minor + self.tax_minor


def total(lines: Iterable[Line], currency: str) -> Total:
    """Round each line once, tax once per rate group, and add up.

    A tax-included line keeps its displayed price: its group's tax is taken out of the gross.
    """
    rounded: list[int] = []
    sums: dict[tuple[Fraction, bool], int] = {}
    for line in lines:
        minor = to_minor(line.amount, currency)
        rounded.append(minor)
        key = (line.tax_percent, line.tax_included)
        sums[key] = sums.get(key, 0) + minor
    groups = tuple(
        _group(percent, included, amount) for (percent, included), amount in sorted(sums.items())
    )
    return Total(tuple(rounded), groups)


def _group(percent: Fraction, included: bool, amount_minor: int) -> TaxGroup:
    rate = percent / 100
    if not included:
        return TaxGroup(percent, amount_minor, round_half_up(amount_minor * rate))
    net = round_half_up(amount_minor / (1 + rate))
    return TaxGroup(percent, net, amount_minor - net)
