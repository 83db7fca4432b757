"""Who may charge, when a transaction begins and ends: two pure functions.

`decide(rules, state, live, input, now)` answers with events and effects; `evolve(state, event, at)`
is the only thing that changes the durable state. `Live` holds what is observed and not kept.
"""

from baywatt_edge.site.decide import decide
from baywatt_edge.site.decision import (
    AskAuthorities,
    Decision,
    GrantsChanged,
    Restart,
    StorageChanged,
    Tick,
)
from baywatt_edge.site.evolve import evolve
from baywatt_edge.site.live import Live
from baywatt_edge.site.rules import SiteRules
from baywatt_edge.site.state import Session, SiteState

__all__ = [
    "AskAuthorities",
    "Decision",
    "GrantsChanged",
    "Live",
    "Restart",
    "Session",
    "SiteRules",
    "SiteState",
    "StorageChanged",
    "Tick",
    "decide",
    "evolve",
]
