"""Who gets how many amps, per phase, as grants that expire: see `share`."""

from baywatt_edge.power.share import PowerRules, share
from baywatt_edge.power.supply import ConnectorCurrent, SupplyEstimator

__all__ = ["ConnectorCurrent", "PowerRules", "SupplyEstimator", "share"]
