"""Who gets how many amps, per phase, as grants that expire: see `share`."""

from baywatt_edge.power.share import PowerRules, share
from baywatt_edge.power.supply import SupplyEstimator

__all__ = ["PowerRules", "SupplyEstimator", "share"]
