"""Read what is to be priced from JSON, and write the price as JSON, without losing a digit."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from baywatt_contract.money import to_minor
from baywatt_contract.tariff.engine import Priced, price
from baywatt_contract.tariff.errors import PricingError
from baywatt_contract.tariff.model import Number, Tariff
from baywatt_contract.tariff.periods import MAX_PERIODS, Period, PeriodState

MAX_BYTES = 16 * 1024 * 1024


class BadRequestError(PricingError):
    """The JSON does not hold a tariff and its periods; the text names the place."""


class PeriodIn(BaseModel):
    """One period as it stands in the file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: PeriodState
    start: AwareDatetime
    end: AwareDatetime
    energy_wh: Annotated[Number, Field(ge=0, le=10**13)] = Decimal(0)
    current_a: Annotated[Number, Field(ge=0, le=10**6)] | None = None
    power_kw: Annotated[Number, Field(ge=0, le=10**6)] | None = None

    def period(self) -> Period:
        """The period as the engine takes it."""
        return Period(
            state=self.state,
            start=self.start,
            end=self.end,
            energy_wh=Fraction(self.energy_wh),
            current_a=None if self.current_a is None else Fraction(self.current_a),
            power_kw=None if self.power_kw is None else Fraction(self.power_kw),
        )


class PriceRequest(BaseModel):
    """A tariff, the site's time zone and the periods to price."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    tariff: Tariff
    time_zone: Annotated[str, Field(min_length=1, max_length=64)]
    periods: Annotated[list[PeriodIn], Field(min_length=1, max_length=MAX_PERIODS)]

    def price(self) -> Priced:
        """Price it; raises PricingError."""
        return price(self.tariff, self.time_zone, [each.period() for each in self.periods])


def read_request(body: bytes) -> PriceRequest:
    """The request in a JSON document; raises BadRequestError naming the first thing wrong."""
    if len(body) > MAX_BYTES:
        raise BadRequestError(f"{len(body)} bytes, at most {MAX_BYTES}")
    try:
        return PriceRequest.model_validate(json.loads(body, parse_float=Decimal))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadRequestError(f"{place}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"not JSON: {error}") from error


def to_json(priced: Priced) -> dict[str, Any]:
    """The price with exact fractions as strings "n/d"."""
    return {
        "currency": priced.currency,
        "excl_vat": ratio(priced.excl_vat),
        "incl_vat": ratio(priced.incl_vat),
        "excl_vat_minor": to_minor(priced.excl_vat, priced.currency),
        "incl_vat_minor": to_minor(priced.incl_vat, priced.currency),
        "lines": [
            {
                "dimension": line.dimension,
                "quantity": ratio(line.quantity),
                "unit_price": ratio(line.unit_price),
                "clause": line.clause,
                "excl_vat": ratio(line.excl_vat),
                "incl_vat": ratio(line.incl_vat),
                "vat_percent": ratio(line.vat_percent),
                "rounded_up": ratio(line.rounded_up),
                "reservation": line.reservation,
                "periods": list(line.periods),
            }
            for line in priced.lines
        ],
    }


def ratio(value: Fraction) -> str:
    """`n/d` in lowest terms, also for whole numbers."""
    return f"{value.numerator}/{value.denominator}"
