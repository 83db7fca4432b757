"""The tariff engine: OCPI 2.2.1 tariffs, priced exactly. Pure: no clock, no I/O.

`price(tariff, time_zone, periods)` is the whole of it; both quotes and bills are made by it.
"""

from __future__ import annotations

from baywatt_contract.tariff.engine import Priced, price
from baywatt_contract.tariff.errors import BadPeriodsError, BadTimeZoneError, PricingError
from baywatt_contract.tariff.lines import PricedLine
from baywatt_contract.tariff.model import Dimension, Tariff
from baywatt_contract.tariff.periods import Period, PeriodState

__all__ = [
    "BadPeriodsError",
    "BadTimeZoneError",
    "Dimension",
    "Period",
    "PeriodState",
    "Priced",
    "PricedLine",
    "PricingError",
    "Tariff",
    "price",
]
