"""Worked prices of our own, to the exact fraction; each names the OCPI 2.2.1 rule it shows."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from baywatt_contract.tariff import Period, PeriodState, Priced, Tariff, price
from baywatt_contract.tariff.border import BadRequestError, read_request, to_json
from baywatt_contract.tariff.errors import BadPeriodsError, BadTimeZoneError

BERLIN = "Europe/Berlin"
CHARGING, PARKING = PeriodState.CHARGING, PeriodState.PARKING
RESERVED, EXPIRED = PeriodState.RESERVATION, PeriodState.RESERVATION_EXPIRED
WEDNESDAY_NOON = datetime(2026, 5, 6, 10, 0, tzinfo=UTC)  # 12:00 in Berlin


def component(kind: str, amount: str, step: int = 1, vat: str | None = None) -> dict[str, Any]:
    return {"type": kind, "price": amount, "step_size": step} | ({"vat": vat} if vat else {})


def element(*components: dict[str, Any], **restrictions: Any) -> dict[str, Any]:
    return {"price_components": list(components), "restrictions": restrictions or None}


def tariff(*elements: dict[str, Any], **more: Any) -> Tariff:
    return Tariff.model_validate({"currency": "EUR", "elements": list(elements), **more})


def visit(
    *parts: tuple[PeriodState, float, int], start: datetime = WEDNESDAY_NOON, **more: Any
) -> list[Period]:
    """Periods of (state, minutes, Wh), one after the other."""
    periods = []
    for state, minutes, wh in parts:
        end = start + timedelta(minutes=minutes)
        periods.append(Period(state, start, end, wh, **more))
        start = end
    return periods


def excl(priced: Priced) -> dict[str, Fraction]:
    return {f"{line.dimension} {line.clause[9]}": line.excl_vat for line in priced.lines}


def test_energy_time_flat_and_idle_each_have_their_line() -> None:
    priced = price(
        tariff(
            element(component("ENERGY", "0.41", vat="19"), component("FLAT", "0.30", vat="7")),
            element(component("TIME", "1.20"), component("PARKING_TIME", "4.50")),
        ),
        BERLIN,
        visit((CHARGING, 35, 9_870), (PARKING, 10, 0)),
    )
    assert excl(priced) == {
        "FLAT 0": Fraction("0.30"),
        "TIME 1": Fraction("0.70"),
        "ENERGY 0": Fraction("4.0467"),
        "PARKING_TIME 1": Fraction("0.75"),
    }
    assert priced.excl_vat == Fraction("5.7967")
    assert priced.incl_vat == Fraction("5.7967") + Fraction("4.0467") * 19 / 100 + Fraction("0.021")


def test_each_dimension_takes_its_own_first_matching_element() -> None:
    """Tariff object: look-up is per dimension, not "the first matching element"."""
    priced = price(
        tariff(
            element(component("ENERGY", "0.30"), min_kwh=5),
            element(component("TIME", "2.00"), component("ENERGY", "0.50")),
            element(component("TIME", "9.00"), component("ENERGY", "9.00")),
        ),
        BERLIN,
        visit((CHARGING, 60, 8_000)),
    )
    assert excl(priced) == {
        "TIME 1": Fraction(2),
        "ENERGY 1": Fraction("2.5"),
        "ENERGY 0": Fraction("0.9"),
    }


def test_a_kwh_threshold_cuts_time_by_linear_interpolation() -> None:
    priced = price(
        tariff(element(component("TIME", "3.00"), max_kwh=2), element(component("TIME", "6.00"))),
        BERLIN,
        visit((CHARGING, 30, 3_000)),
    )
    assert excl(priced) == {"TIME 0": Fraction(1), "TIME 1": Fraction(1)}


def test_min_duration_counts_from_the_start_of_the_session() -> None:
    priced = price(
        tariff(element(component("PARKING_TIME", "12.00"), min_duration=3600)),
        BERLIN,
        visit((CHARGING, 50, 7_000), (PARKING, 25, 0)),
    )
    assert priced.excl_vat == 3  # 10 of 25 minutes are within the first hour


def test_hours_wrap_midnight_and_00_00_ends_the_day() -> None:
    night = element(component("TIME", "1.00"), start_time="22:00", end_time="06:00")
    late = element(component("TIME", "4.00"), start_time="21:00", end_time="00:00")
    priced = price(
        tariff(night, late),
        BERLIN,
        visit((CHARGING, 12 * 60, 0), start=datetime(2026, 5, 6, 18, 30, tzinfo=UTC)),  # 20:30
    )
    assert excl(priced) == {"TIME 1": Fraction(4), "TIME 0": Fraction(8)}


def test_a_weekday_ends_at_midnight_even_within_night_hours() -> None:
    """day_of_week is one more condition at each instant: Friday 22-06 is not Saturday 01:00."""
    friday = element(
        component("TIME", "1.00"), start_time="22:00", end_time="06:00", day_of_week=["FRIDAY"]
    )
    priced = price(
        tariff(friday),
        BERLIN,
        visit((CHARGING, 8 * 60, 0), start=datetime(2026, 5, 8, 20, 0, tzinfo=UTC)),  # Fri 22:00
    )
    assert priced.excl_vat == 2


def test_an_end_date_is_exclusive_and_local() -> None:
    priced = price(
        tariff(element(component("TIME", "1.00"), start_date="2026-05-06", end_date="2026-05-07")),
        BERLIN,
        visit((CHARGING, 48 * 60, 0), start=datetime(2026, 5, 5, 10, 0, tzinfo=UTC)),
    )
    assert priced.excl_vat == 24


@pytest.mark.parametrize(
    ("start", "hours"),
    [
        (datetime(2026, 3, 28, 23, 0, tzinfo=UTC), 2),  # 02:00-03:00 does not exist: 01-02, 03-04
        (datetime(2026, 10, 24, 22, 0, tzinfo=UTC), 4),  # 02:00-03:00 twice
    ],
)
def test_both_folds_of_a_clock_change_are_priced(start: datetime, hours: int) -> None:
    night = element(component("TIME", "1.00"), start_time="01:00", end_time="04:00")
    priced = price(tariff(night), BERLIN, visit((CHARGING, 24 * 60, 0), start=start))
    assert priced.excl_vat == hours


@pytest.mark.parametrize(
    ("day", "hours"),
    [(datetime(2026, 3, 29, tzinfo=UTC), "1/2"), (datetime(2026, 10, 25, tzinfo=UTC), "3/2")],
)
def test_a_boundary_inside_the_changed_hour_is_cut_exactly(day: datetime, hours: str) -> None:
    start = day - timedelta(hours=3)
    early = element(component("TIME", "1.00"), start_time="01:30", end_time="02:30")
    priced = price(tariff(early), BERLIN, visit((CHARGING, 12 * 60, 0), start=start))
    # In spring the clock jumps from 02:00 to 03:00; in autumn it passes 02:00-02:30 twice.
    assert priced.excl_vat == Fraction(hours)


def test_power_and_current_flip_an_element_within_a_session() -> None:
    slow = element(component("ENERGY", "0.20"), max_power=11)
    fast = element(component("ENERGY", "0.60"), min_power=11, min_current=20)
    periods = [
        *visit((CHARGING, 30, 5_000), current_a=Fraction(16)),
        *visit((CHARGING, 30, 5_500), start=WEDNESDAY_NOON + timedelta(minutes=30), current_a=20),
    ]
    assert excl(price(tariff(slow, fast), BERLIN, periods)) == {
        "ENERGY 0": Fraction(1),
        "ENERGY 1": Fraction("3.3"),
    }


def test_an_unknown_current_meets_no_bound() -> None:
    priced = price(
        tariff(element(component("ENERGY", "9.00"), max_current=100)),
        BERLIN,
        visit((CHARGING, 30, 5_000)),
    )
    assert priced.lines == ()


def test_an_exact_multiple_of_the_step_is_not_rounded() -> None:
    priced = price(
        tariff(element(component("TIME", "3.00", 900))), BERLIN, visit((CHARGING, 45, 1))
    )
    assert priced.excl_vat == Fraction("2.25")


def test_energy_is_rounded_once_on_the_total_at_the_last_price() -> None:
    priced = price(
        tariff(
            element(component("ENERGY", "0.20", 700), max_kwh=1),
            element(component("ENERGY", "0.80", 400)),
        ),
        BERLIN,
        visit((CHARGING, 10, 300), (CHARGING, 50, 1_750)),
    )
    # 2,050 Wh become 2,400: 1,000 at the first price, 1,400 at the last.
    assert excl(priced) == {"ENERGY 0": Fraction("0.20"), "ENERGY 1": Fraction("1.12")}
    assert priced.lines[-1].rounded_up == Fraction("0.35")


def test_time_followed_by_parking_is_not_rounded_but_parking_is() -> None:
    priced = price(
        tariff(element(component("TIME", "1.80", 1200), component("PARKING_TIME", "7.20", 300))),
        BERLIN,
        visit((CHARGING, 33, 900), (PARKING, 6, 0)),
    )
    assert excl(priced) == {"TIME 0": Fraction("0.99"), "PARKING_TIME 0": Fraction("1.20")}


def test_a_free_period_afterwards_does_not_reset_the_step() -> None:
    priced = price(
        tariff(element(component("TIME", "2.40", 1800))),
        BERLIN,
        visit((CHARGING, 40, 900), (PARKING, 90, 0)),
    )
    assert priced.excl_vat == Fraction("2.4")


def test_a_flat_fee_is_due_once() -> None:
    flat = element(component("FLAT", "0.77"))
    periods = visit((CHARGING, 40, 900), (PARKING, 9, 0), (CHARGING, 40, 900))
    assert price(tariff(flat), BERLIN, periods).excl_vat == Fraction("0.77")


def test_a_used_reservation_is_priced_beside_its_session() -> None:
    """A reservation's FLAT comes in addition to the session's."""
    priced = price(
        tariff(
            element(
                component("FLAT", "1.10"), component("TIME", "3.00", 600), reservation="RESERVATION"
            ),
            element(component("FLAT", "9.00"), reservation="RESERVATION_EXPIRES"),
            element(component("FLAT", "0.40"), component("TIME", "0.60")),
        ),
        BERLIN,
        visit((RESERVED, 14, 0), (CHARGING, 30, 800)),
    )
    assert excl(priced) == {
        "FLAT 0": Fraction("1.10"),
        "TIME 0": Fraction(1),
        "FLAT 2": Fraction("0.40"),
        "TIME 2": Fraction("0.30"),
    }


def test_an_expired_reservation_falls_back_per_dimension() -> None:
    priced = price(
        tariff(
            element(
                component("FLAT", "1.10"), component("TIME", "3.00"), reservation="RESERVATION"
            ),
            element(component("TIME", "6.00"), reservation="RESERVATION_EXPIRES"),
            element(component("FLAT", "0.40")),
        ),
        BERLIN,
        visit((EXPIRED, 20, 0)),
    )
    assert excl(priced) == {"FLAT 0": Fraction("1.10"), "TIME 1": Fraction(2)}


def test_bounds_hold_with_and_without_tax_each_by_itself() -> None:
    rates = (component("ENERGY", "1.00", vat="20"),)
    low = price(
        tariff(element(*rates), min_price={"excl_vat": 2, "incl_vat": "2.60"}),
        BERLIN,
        visit((CHARGING, 10, 1_500)),
    )
    assert (low.excl_vat, low.incl_vat) == (2, Fraction("2.6"))
    assert low.lines[-1].dimension == "MIN_PRICE"
    high = price(
        tariff(element(*rates), max_price={"excl_vat": 10, "incl_vat": "11.70"}),
        BERLIN,
        visit((CHARGING, 10, 9_800)),
    )
    assert (high.excl_vat, high.incl_vat) == (Fraction("9.8"), Fraction("11.7"))


def test_a_bound_without_tax_bears_the_tax_of_what_it_bounds() -> None:
    priced = price(
        tariff(element(component("FLAT", "1.00", vat="20")), min_price={"excl_vat": 3}),
        BERLIN,
        visit((CHARGING, 10, 1_500)),
    )
    assert (priced.excl_vat, priced.incl_vat) == (3, Fraction("3.6"))


def test_periods_that_overlap_or_run_backwards_are_refused() -> None:
    plain = tariff(element(component("FLAT", "1")))
    noon = WEDNESDAY_NOON
    hour = timedelta(hours=1)
    for periods, said in (
        ([], "no period"),
        ([Period(CHARGING, noon, noon - hour)], "period 0 ends before"),
        ([Period(CHARGING, noon, noon + hour), Period(PARKING, noon, noon + hour)], "period 1"),
        ([Period(CHARGING, noon, noon + hour, -1)], "negative"),
        ([Period(CHARGING, noon, noon + 500 * 24 * hour)], "400 days"),
    ):
        with pytest.raises(BadPeriodsError, match=said):
            price(plain, BERLIN, periods)
    with pytest.raises(BadTimeZoneError, match="Middle/Earth"):
        price(plain, "Middle/Earth", visit((CHARGING, 1, 1)))


def test_the_file_keeps_every_digit_and_answers_in_fractions() -> None:
    body = json.dumps(
        {
            "tariff": {
                "currency": "EUR",
                "elements": [{"price_components": [{"type": "ENERGY", "price": 0.1}]}],
            },
            "time_zone": "UTC",
            "periods": [
                {
                    "state": "CHARGING",
                    "start": "2026-05-06T10:00:00Z",
                    "end": "2026-05-06T10:30:00+00:00",
                    "energy_wh": 333,
                }
            ],
        }
    ).encode()
    answer = to_json(read_request(body).price())
    assert answer["excl_vat"] == answer["incl_vat"] == "333/10000"
    assert answer["incl_vat_minor"] == 3
    line = answer["lines"][0]
    assert (line["dimension"], line["quantity"], line["unit_price"]) == (
        "ENERGY",
        "333/1000",
        "1/10",
    )
    assert line["clause"] == "elements[0].price_components[0]"


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b"\xff", b'{"tariff":1}', b"[" * 100_000, b'{"tariff":{"currency":"EUR"}}'],
)
def test_garbage_is_refused_in_one_line(body: bytes) -> None:
    with pytest.raises(BadRequestError) as caught:
        read_request(body)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", ["1e999999999", "1e-999999999", "NaN", "-1", '"x"', "null"])
def test_numbers_out_of_bounds_are_refused(number: str) -> None:
    flat = {"price_components": [{"type": "FLAT", "price": "NUMBER"}]}
    at = "2026-01-01T00:00:00Z"
    body = json.dumps(
        {
            "tariff": {"currency": "EUR", "elements": [flat]},
            "time_zone": "UTC",
            "periods": [{"state": "PARKING", "start": at, "end": at}],
        }
    ).replace('"NUMBER"', number)
    with pytest.raises(BadRequestError):
        read_request(body.encode()).price()
