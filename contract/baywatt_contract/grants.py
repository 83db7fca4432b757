"""What passes between who wants current and who shares it out."""

from __future__ import annotations

from dataclasses import dataclass

MIN_CHARGE_MA = 6000
"""The least that a pilot can offer (IEC 61851-1 table A.8); below it a vehicle must not charge."""


@dataclass(frozen=True, slots=True)
class Cap:
    """An upper bound from one rule, in words that explain it."""

    limit_ma: int
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Demand:
    """A connector's wish for current.

    `grid_phases` are the phases of the supply behind it. `held_ma` is the most it may be drawing
    now whatever it is told next: what its pilot still offers, or its fail-safe while it is silent.
    `order` tells who came first when there is not enough for all.
    """

    connector_id: int
    grid_phases: tuple[int, ...]
    wants: bool
    caps: tuple[Cap, ...]
    held_ma: int
    order: int


@dataclass(frozen=True, slots=True)
class Supply:
    """The grid connection now. `other_load_ma` is what flows beside the connectors, per phase.

    None means unknown: the meter is missing or stale.
    """

    fuse_ma: int
    other_load_ma: tuple[int, int, int] | None
    metered: bool
    fail_safe_ma: int


@dataclass(frozen=True, slots=True)
class Grant:
    """What a connector may draw per phase, and why. `since_mono_ms` is the last change."""

    connector_id: int
    limit_ma: int
    rule: str
    reason: str
    since_mono_ms: int
