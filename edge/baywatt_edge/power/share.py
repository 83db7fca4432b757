"""Equal shares of the fuse per phase: max-min fair, lower before raise, every limit explained.

Invariant, whatever the demands: on each phase the sum over connectors of the larger of grant and
held current never exceeds what the fuse leaves beside the other load, unless the held currents
alone already do; then nothing is raised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from baywatt_contract.grants import MIN_CHARGE_MA, Cap, Demand, Grant, Supply

_STEP_MA = 100


@dataclass(frozen=True, slots=True)
class PowerRules:
    """The pace of changes. A vehicle needs up to 5 s to follow a new limit (IEC 61851-1)."""

    raise_after_ms: int = 5_000
    raise_at_least_ma: int = 500


def share(
    rules: PowerRules,
    supply: Supply,
    demands: Sequence[Demand],
    previous: Mapping[int, Grant],
    now_ms: int,
) -> dict[int, Grant]:
    """A grant for every demand. Lowering takes effect at once, raising when there is room."""
    wanted = _targets(supply, demands)
    paced = {
        demand.connector_id: _paced(rules, wanted[demand.connector_id], previous, demand, now_ms)
        for demand in demands
    }
    fitted = _fit_raises(supply, demands, paced, previous)
    return {
        connector_id: _stamped(connector_id, cap, previous, now_ms)
        for connector_id, cap in fitted.items()
    }


def _targets(supply: Supply, demands: Sequence[Demand]) -> dict[int, Cap]:
    """The fair end state, as if every vehicle followed at once."""
    targets = {demand.connector_id: _cap_of(demand) for demand in demands}
    if supply.metered and supply.other_load_ma is None:
        reason = "the supply meter is silent: each connector falls to its fail-safe"
        stale = Cap(supply.fail_safe_ma, "supply-meter-stale", reason)
        return {
            key: stale if stale.limit_ma < cap.limit_ma else cap for key, cap in targets.items()
        }
    active = sorted(
        (demand for demand in demands if _can_charge(targets[demand.connector_id])),
        key=lambda demand: demand.order,
    )
    while active:
        shares = _water_fill(supply, active, targets)
        starved = [each for each in active if shares[each.connector_id].limit_ma < MIN_CHARGE_MA]
        if not starved:
            targets.update(shares)
            break
        last = starved[-1]
        reason = "the site is full: waits until at least 6 A are free"
        targets[last.connector_id] = Cap(0, "waiting", reason)
        active.remove(last)
    return targets


def _cap_of(demand: Demand) -> Cap:
    if not demand.wants:
        return Cap(0, "no-demand", "no vehicle may charge here now")
    lowest = min(demand.caps, key=lambda cap: cap.limit_ma)
    if lowest.limit_ma < MIN_CHARGE_MA:
        return Cap(0, lowest.rule, f"{lowest.reason}: below 6 A charging pauses")
    return lowest


def _can_charge(cap: Cap) -> bool:
    return cap.limit_ma >= MIN_CHARGE_MA


def _room_ma(supply: Supply) -> dict[int, int]:
    other = supply.other_load_ma or (0, 0, 0)
    return {phase: max(0, supply.fuse_ma - other[phase - 1]) for phase in (1, 2, 3)}


def _water_fill(
    supply: Supply, active: Sequence[Demand], caps: Mapping[int, Cap]
) -> dict[int, Cap]:
    """Raise all alike; who reaches its own cap or a full phase stays there."""
    room = _room_ma(supply)
    open_ = list(active)
    given: dict[int, Cap] = {}
    while open_:
        level, phase = min(
            (room[phase] // _users(open_, phase), phase) for phase in room if _users(open_, phase)
        )
        capped = [each for each in open_ if caps[each.connector_id].limit_ma <= level]
        done = capped or [each for each in open_ if phase in each.grid_phases]
        for each in done:
            cap = caps[each.connector_id]
            given[each.connector_id] = cap if capped else _share_cap(supply, level, phase, active)
            for used in each.grid_phases:
                room[used] -= given[each.connector_id].limit_ma
            open_.remove(each)
    return given


def _users(demands: Sequence[Demand], phase: int) -> int:
    return sum(phase in each.grid_phases for each in demands)


def _share_cap(supply: Supply, level_ma: int, phase: int, active: Sequence[Demand]) -> Cap:
    others_ma = (supply.other_load_ma or (0, 0, 0))[phase - 1]
    count = _users(active, phase)
    reason = (
        f"equal share of L{phase}: {supply.fuse_ma / 1000:g} A fuse, "
        f"{others_ma / 1000:.1f} A other load, {count} vehicles"
    )
    return Cap(level_ma // _STEP_MA * _STEP_MA, "fuse-share", reason)


def _paced(
    rules: PowerRules, target: Cap, previous: Mapping[int, Grant], demand: Demand, now_ms: int
) -> Cap:
    """Hold a raise back while the last change is young or the gain too small to matter."""
    old = previous.get(demand.connector_id)
    if old is None or target.limit_ma <= old.limit_ma:
        return target
    if old.limit_ma == 0:
        return target  # a start, not a swing
    too_soon = now_ms - old.since_mono_ms < rules.raise_after_ms
    too_small = target.limit_ma - old.limit_ma < rules.raise_at_least_ma
    own_cap = target.rule not in {"fuse-share", "supply-meter-stale"}
    if too_soon:
        return Cap(old.limit_ma, old.rule, old.reason)
    if too_small and not own_cap:
        return Cap(old.limit_ma, target.rule, target.reason)  # as good as reached
    return target


def _fit_raises(
    supply: Supply,
    demands: Sequence[Demand],
    targets: Mapping[int, Cap],
    previous: Mapping[int, Grant],
) -> dict[int, Cap]:
    """Grant raises only into room that nobody may still be drawing."""
    fitted = dict(targets)
    load = dict.fromkeys((1, 2, 3), 0)
    for demand in demands:
        old = previous[demand.connector_id].limit_ma if demand.connector_id in previous else 0
        lowered = min(targets[demand.connector_id].limit_ma, old)
        for phase in demand.grid_phases:
            load[phase] += max(lowered, demand.held_ma)
    room = _room_ma(supply)
    for demand in sorted(demands, key=lambda each: each.order):
        key = demand.connector_id
        old = previous[key].limit_ma if key in previous else 0
        base = max(min(targets[key].limit_ma, old), demand.held_ma)
        if targets[key].limit_ma <= base:
            continue
        free = min(max(0, room[phase] - load[phase]) for phase in demand.grid_phases)
        limit = min(targets[key].limit_ma, base + free) // _STEP_MA * _STEP_MA
        fitted[key] = _fitted(targets[key], limit, min(old, targets[key].limit_ma))
        for phase in demand.grid_phases:
            load[phase] += max(0, fitted[key].limit_ma - base)
    return fitted


def _fitted(target: Cap, limit_ma: int, old_ma: int) -> Cap:
    if limit_ma >= target.limit_ma:
        return target
    kept = max(limit_ma, old_ma)
    reason = "waits for others to lower their current first"
    return Cap(kept if kept >= MIN_CHARGE_MA else 0, "lower-before-raise", reason)


def _stamped(connector_id: int, cap: Cap, previous: Mapping[int, Grant], now_ms: int) -> Grant:
    old = previous.get(connector_id)
    same = old is not None and old.limit_ma == cap.limit_ma
    since = old.since_mono_ms if old is not None and same else now_ms
    return Grant(connector_id, cap.limit_ma, cap.rule, cap.reason, since)
