from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baywatt_contract.money import (
    Line,
    exponent,
    format_minor,
    from_minor,
    round_half_up,
    to_minor,
    total,
)

FRACTIONS = st.fractions(min_value=-(10**9), max_value=10**9, max_denominator=10**6)
RATES = st.sampled_from([Fraction(0), Fraction(7), Fraction(19), Fraction(77, 10)])
LINES = st.builds(Line, st.just("x"), FRACTIONS, RATES, st.booleans())


@pytest.mark.parametrize(
    ("value", "rounded"),
    [("0.5", 1), ("-0.5", -1), ("1.5", 2), ("2.5", 3), ("0.49", 0), ("-2.51", -3), ("0", 0)],
)
def test_halves_go_away_from_zero(value: str, rounded: int) -> None:
    assert round_half_up(Fraction(value)) == rounded


@given(st.decimals(-(10**6), 10**6, places=6))
def test_rounding_is_that_of_the_decimal_module(value: Decimal) -> None:
    expected = value.quantize(Decimal(1), rounding=ROUND_HALF_UP)
    assert round_half_up(Fraction(value)) == expected


@pytest.mark.parametrize(
    ("currency", "digits", "text"),
    [("EUR", 2, "12.34 EUR"), ("JPY", 0, "1234 JPY"), ("KWD", 3, "1.234 KWD")],
)
def test_minor_units_follow_iso_4217(currency: str, digits: int, text: str) -> None:
    assert exponent(currency) == digits
    assert format_minor(1234, currency) == text
    assert to_minor(Fraction(1), currency) == 10**digits


def test_small_and_negative_amounts_are_written_in_full() -> None:
    assert format_minor(5, "EUR") == "0.05 EUR"
    assert format_minor(-5, "EUR") == "-0.05 EUR"
    assert format_minor(0, "KWD") == "0.000 KWD"
    assert format_minor(10**12, "EUR") == "10000000000.00 EUR"


@given(st.integers(-(10**12), 10**12), st.sampled_from(["EUR", "JPY", "KWD"]))
def test_minor_units_survive_the_way_there_and_back(minor: int, currency: str) -> None:
    assert to_minor(from_minor(minor, currency), currency) == minor


def test_tax_is_rounded_once_per_rate_not_per_line() -> None:
    # 19 % of 3 cents is 0.57: three lines taxed one by one would cost 3 cents of tax, not 2.
    lines = [Line("a", Fraction(3, 100), Fraction(19))] * 3
    result = total(lines, "EUR")
    assert result.lines_minor == (3, 3, 3)
    assert (result.net_minor, result.tax_minor, result.gross_minor) == (9, 2, 11)


def test_a_tax_included_price_is_paid_as_displayed() -> None:
    result = total([Line("a", Fraction(119, 100), Fraction(19), tax_included=True)], "EUR")
    assert (result.net_minor, result.tax_minor, result.gross_minor) == (100, 19, 119)


def test_nothing_costs_nothing() -> None:
    result = total([], "EUR")
    assert (result.lines_minor, result.groups, result.gross_minor) == ((), (), 0)


@given(st.lists(LINES, max_size=12))
def test_a_total_is_exactly_the_sum_of_its_parts(lines: list[Line]) -> None:
    result = total(lines, "EUR")
    assert result.gross_minor == sum(group.gross_minor for group in result.groups)
    assert result.gross_minor == result.net_minor + result.tax_minor
    pairs = list(zip(lines, result.lines_minor, strict=True))
    assert all(abs(minor - line.amount * 100) <= Fraction(1, 2) for line, minor in pairs)
    # What was displayed with tax is paid to the cent, whatever the tax rounds to.
    included = sum(minor for line, minor in pairs if line.tax_included)
    taxed = [(line.tax_percent, minor) for line, minor in pairs if not line.tax_included]
    exact = sum(minor * (1 + percent / 100) for percent, minor in taxed)
    groups = len({percent for percent, _ in taxed})
    assert abs(result.gross_minor - included - exact) <= Fraction(groups, 2)
