"""The OCPI 2.2.1 tariff object (module Tariffs), read at the border with bounds on every size.

Only what a price depends on is typed; other OCPI fields pass through unread. Prices exclude tax.
"""

from __future__ import annotations

from datetime import date, time
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

MAX_ELEMENTS = 500


def _exact(value: object) -> object:
    """JSON numbers as people wrote them: 0.1 is one tenth, not its nearest double."""
    return Decimal(repr(value)) if isinstance(value, float) else value


Number = Annotated[Decimal, BeforeValidator(_exact), Field(max_digits=40, decimal_places=20)]
Amount = Annotated[Number, Field(ge=0, le=10**9)]
Percent = Annotated[Number, Field(ge=0, le=1000)]
Seconds = Annotated[int, Field(ge=0, le=10**9)]


class Dimension(StrEnum):
    """OCPI TariffDimensionType."""

    ENERGY = "ENERGY"  # price per kWh, steps of 1 Wh
    FLAT = "FLAT"  # once per session
    PARKING_TIME = "PARKING_TIME"  # price per hour, steps of 1 s: the vehicle requests no power
    TIME = "TIME"  # price per hour, steps of 1 s: charging, or the length of a reservation


class Reservation(StrEnum):
    """OCPI ReservationRestrictionType."""

    RESERVATION = "RESERVATION"
    RESERVATION_EXPIRES = "RESERVATION_EXPIRES"


class Weekday(StrEnum):
    """OCPI DayOfWeek, in the order of `date.weekday()`."""

    MONDAY = "MONDAY"
    TUESDAY = "TUESDAY"
    WEDNESDAY = "WEDNESDAY"
    THURSDAY = "THURSDAY"
    FRIDAY = "FRIDAY"
    SATURDAY = "SATURDAY"
    SUNDAY = "SUNDAY"


WEEKDAYS = tuple(Weekday)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Price(_Part):
    """OCPI Price: an amount without and, if given, with tax."""

    excl_vat: Amount
    incl_vat: Amount | None = None


class PriceComponent(_Part):
    """The price of one dimension. `vat` in percent; absent is not the same as 0."""

    type: Dimension
    price: Amount
    vat: Percent | None = None
    step_size: Annotated[int, Field(ge=0, le=10**9)] = 1  # 0: not rounded


def _wall_time(value: object) -> object:
    if isinstance(value, str) and len(value) != 5:
        raise ValueError("a time of day is HH:MM")
    return value


WallTime = Annotated[time, BeforeValidator(_wall_time)]


class Restrictions(_Part):
    """OCPI TariffRestrictions: all that are given must hold at an instant (logical AND).

    Lower bounds are inclusive, upper bounds exclusive; times and dates are the site's wall clock.
    """

    start_time: WallTime | None = None
    end_time: WallTime | None = None
    start_date: date | None = None
    end_date: date | None = None
    min_kwh: Amount | None = None
    max_kwh: Amount | None = None
    min_current: Amount | None = None
    max_current: Amount | None = None
    min_power: Amount | None = None
    max_power: Amount | None = None
    min_duration: Seconds | None = None
    max_duration: Seconds | None = None
    day_of_week: Annotated[list[Weekday], Field(max_length=7)] = []
    reservation: Reservation | None = None

    @property
    def looks_at_the_clock(self) -> bool:
        """Whether the wall clock decides."""
        clock = (self.start_time, self.end_time, self.start_date, self.end_date)
        return bool(self.day_of_week) or any(each is not None for each in clock)


NO_RESTRICTIONS = Restrictions()


class TariffElement(_Part):
    """Price components that share their restrictions."""

    price_components: Annotated[list[PriceComponent], Field(min_length=1, max_length=20)]
    restrictions: Restrictions | None = None

    @property
    def limits(self) -> Restrictions:
        """The restrictions, none if absent."""
        return self.restrictions or NO_RESTRICTIONS


class Tariff(_Part):
    """OCPI Tariff. `elements` are looked up in order, per dimension."""

    id: Annotated[str, Field(max_length=36)] = ""
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    elements: Annotated[list[TariffElement], Field(min_length=1, max_length=MAX_ELEMENTS)]
    min_price: Price | None = None
    max_price: Price | None = None

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        low, high = self.min_price, self.max_price
        if low and high and low.excl_vat > high.excl_vat:
            raise ValueError("min_price is above max_price")
        return self
