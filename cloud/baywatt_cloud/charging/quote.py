"""What a visit will cost, before the plug goes in: the likely price and the worst case. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from baywatt_cloud.billing.charges import Bill, bill
from baywatt_contract.clock import EPOCH
from baywatt_contract.tariff import Period, PeriodState, Tariff, price

LIKELY_SHARE = Fraction(3, 5)  # of what could flow in the window, when the driver names no amount
LARGEST_BATTERY_WH = 120_000  # no car on the road takes more in one visit


@dataclass(frozen=True, slots=True)
class Plan:
    """When, where and how much."""

    time_zone: str
    start: datetime
    end: datetime
    max_power_w: int
    energy_wh: int | None

    @classmethod
    def of_ms(
        cls, time_zone: str, from_ms: int, to_ms: int, max_power_w: int, energy_wh: int | None
    ) -> Plan:
        """The plan of a window in UTC milliseconds."""
        start, end = (EPOCH + timedelta(milliseconds=ms) for ms in (from_ms, to_ms))
        return cls(time_zone, start, end, max_power_w, energy_wh)

    @property
    def most_wh(self) -> int:
        """What can flow at full power in the window."""
        hours = Fraction((self.end - self.start) // timedelta(milliseconds=1), 3_600_000)
        return min(LARGEST_BATTERY_WH, int(self.max_power_w * hours))


@dataclass(frozen=True, slots=True)
class Estimate:
    """Both ends of the range, each with its lines."""

    likely: Bill
    worst: Bill


def estimate(tariff: Tariff, plan: Plan) -> Estimate:
    """Price the plan; raises PricingError.

    Likely: the asked energy (else 60 % of the possible) at full power, then away. Worst: the
    dearest of charging all that can flow and idling after it, idling all the time, and charging
    slowly until the end.
    """
    wanted = plan.energy_wh if plan.energy_wh is not None else int(plan.most_wh * LIKELY_SHARE)
    wanted = min(wanted, plan.most_wh)

    def cost(periods: Sequence[Period]) -> Bill:
        return bill(price(tariff, plan.time_zone, periods))

    worst = [
        cost(_fast(plan, plan.most_wh)),
        cost(_idle(plan)),
        cost([Period(PeriodState.CHARGING, plan.start, plan.end, plan.most_wh)]),
    ]
    likely = cost(_fast(plan, wanted)[:1])
    return Estimate(likely, max([likely, *worst], key=lambda each: each.gross_minor))


def _fast(plan: Plan, energy_wh: int) -> list[Period]:
    """Charge at full power, then stay plugged in until the window ends."""
    if not energy_wh:
        return _idle(plan)
    seconds = -(-energy_wh * 3600 // plan.max_power_w)
    full = min(plan.end, plan.start + timedelta(seconds=seconds))
    charging = Period(PeriodState.CHARGING, plan.start, full, energy_wh)
    return [charging, Period(PeriodState.PARKING, full, plan.end)]


def _idle(plan: Plan) -> list[Period]:
    return [Period(PeriodState.PARKING, plan.start, plan.end)]
