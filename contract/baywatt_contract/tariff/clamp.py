"""min_price and max_price bound the sums without and with tax, each by itself (module Tariffs)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from baywatt_contract.tariff.lines import PricedLine
from baywatt_contract.tariff.model import Price, Tariff


@dataclass(frozen=True, slots=True)
class Bounded:
    """The lines, with an adjustment line for each bound that bit, and their totals."""

    lines: tuple[PricedLine, ...]
    excl_vat: Fraction
    incl_vat: Fraction


def bounded(tariff: Tariff, lines: tuple[PricedLine, ...]) -> Bounded:
    """Apply the tariff's bounds to the sum of the lines."""
    excl = sum((line.excl_vat for line in lines), Fraction())
    incl = sum((line.incl_vat for line in lines), Fraction())
    # A bound given without tax bears the tax of what it bounds.
    factor = incl / excl if excl else 1 + _highest_vat(tariff) / 100
    for name, bound, pick in (
        ("MIN_PRICE", tariff.min_price, max),
        ("MAX_PRICE", tariff.max_price, min),
    ):
        if bound is not None:
            to_excl = pick(excl, Fraction(bound.excl_vat))
            to_incl = pick(incl, _incl(bound, factor))
            if (to_excl, to_incl) != (excl, incl):
                lines = (*lines, _adjustment(name, to_excl - excl, to_incl - incl))
            excl, incl = to_excl, to_incl
    return Bounded(lines, excl, incl)


def _incl(bound: Price, factor: Fraction) -> Fraction:
    if bound.incl_vat is not None:
        return Fraction(bound.incl_vat)
    return Fraction(bound.excl_vat) * factor


def _highest_vat(tariff: Tariff) -> Fraction:
    components = (part for each in tariff.elements for part in each.price_components)
    return max(Fraction(part.vat or 0) for part in components)


def _adjustment(name: str, excl: Fraction, incl: Fraction) -> PricedLine:
    return PricedLine(
        dimension=name,
        clause=name.lower(),
        quantity=Fraction(1),
        unit_price=excl,
        vat_percent=(incl / excl - 1) * 100 if excl else Fraction(0),
        excl_vat=excl,
        incl_vat=incl,
    )
