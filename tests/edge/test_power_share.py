"""The fuse is never promised twice, shares are fair, and every limit says why."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from baywatt_contract.grants import MIN_CHARGE_MA, Cap, Demand, Grant, Supply
from baywatt_edge.power import PowerRules, share

RULES = PowerRules()


def demand(cid, phases=(1, 2, 3), wants=True, cap=32_000, held=0, order=0):
    caps = (Cap(cap, "connector", "rated current"),)
    return Demand(cid, phases, wants, caps, held, order or cid)


def supply(fuse=63_000, other=(0, 0, 0), metered=True, fail_safe=6_000):
    return Supply(fuse, other, metered, fail_safe)


def settle(sup, demands, steps=20):
    """Let vehicles follow their grants until nothing changes."""
    grants: dict[int, Grant] = {}
    now = 0
    for _ in range(steps):
        held = {cid: grant.limit_ma for cid, grant in grants.items()}
        current = [
            Demand(d.connector_id, d.grid_phases, d.wants, d.caps, held.get(d.connector_id, 0),
                   d.order)
            for d in demands
        ]  # fmt: skip
        grants = share(RULES, sup, current, grants, now)
        now += 5_000
    return grants


def test_one_car_gets_its_connectors_rating():
    grant = settle(supply(), [demand(1)])[1]
    assert (grant.limit_ma, grant.rule) == (32_000, "connector")


def test_two_cars_share_the_fuse_equally_beside_other_load():
    grants = settle(supply(other=(10_000, 5_000, 0)), [demand(1), demand(2)])
    assert [grants[1].limit_ma, grants[2].limit_ma] == [26_500, 26_500]
    assert "L1" in grants[1].reason
    assert grants[1].rule == "fuse-share"


def test_what_a_capped_car_leaves_goes_to_the_others():
    grants = settle(supply(fuse=50_000), [demand(1, cap=10_000), demand(2)])
    assert (grants[1].limit_ma, grants[2].limit_ma) == (10_000, 32_000)


def test_single_phase_cars_on_different_phases_do_not_share():
    grants = settle(supply(fuse=32_000), [demand(1, (1,)), demand(2, (2,)), demand(3, (3,))])
    assert {grant.limit_ma for grant in grants.values()} == {32_000}


def test_when_six_amps_are_not_left_for_all_the_last_to_come_waits():
    grants = settle(supply(fuse=16_000), [demand(1), demand(2), demand(3)])
    assert (grants[1].limit_ma, grants[2].limit_ma) == (8_000, 8_000)
    assert (grants[3].limit_ma, grants[3].rule) == (0, "waiting")


def test_a_second_car_waits_until_the_first_has_lowered():
    first = Grant(1, 32_000, "connector", "rated current", 0)
    grants = share(
        RULES, supply(fuse=40_000), [demand(1, held=32_000), demand(2)], {1: first}, 10_000
    )
    assert grants[1].limit_ma == 20_000
    assert (grants[2].limit_ma, grants[2].rule) == (8_000, "lower-before-raise")


def test_a_silent_supply_meter_means_fail_safe_for_all():
    grants = settle(supply(other=None), [demand(1), demand(2, wants=False)])
    assert (grants[1].limit_ma, grants[1].rule) == (6_000, "supply-meter-stale")
    assert grants[2].limit_ma == 0


def test_a_raise_waits_five_seconds_after_the_last_change_and_a_cut_does_not():
    old = {1: Grant(1, 10_000, "fuse-share", "", 0)}
    soon = share(RULES, supply(), [demand(1, held=10_000)], old, 4_999)
    assert soon[1].limit_ma == 10_000
    later = share(RULES, supply(), [demand(1, held=10_000)], old, 5_000)
    assert later[1].limit_ma == 32_000
    cut = share(RULES, supply(other=(55_000, 0, 0)), [demand(1, held=10_000)], old, 1)
    assert cut[1].limit_ma == 8_000


def test_a_limit_that_is_as_good_as_reached_tells_the_lasting_reason():
    old = {1: Grant(1, 26_400, "lower-before-raise", "waits", 0), 2: Grant(2, 26_500, "x", "", 0)}
    asked = [demand(1, held=26_400), demand(2, held=26_500)]
    grant = share(RULES, supply(other=(10_000, 0, 0)), asked, old, 60_000)[1]
    assert (grant.limit_ma, grant.rule) == (26_400, "fuse-share")


phases = st.sampled_from([(1,), (2,), (3,), (1, 2), (1, 2, 3), (2, 3, 1)])
demands = st.lists(
    st.tuples(phases, st.booleans(), st.integers(0, 63_000), st.integers(0, 32_000)), max_size=8
).map(
    lambda rows: [
        demand(i + 1, phase, wants, cap, held) for i, (phase, wants, cap, held) in enumerate(rows)
    ]
)
loads = st.tuples(*[st.integers(0, 80_000)] * 3)


@given(demands, loads, st.integers(6_000, 250_000), st.data())
def test_the_fuse_is_never_promised_twice(asked, other, fuse, data):
    previous = {
        d.connector_id: Grant(d.connector_id, data.draw(st.integers(0, 32_000)), "x", "", 0)
        for d in asked
        if data.draw(st.booleans())
    }
    now = data.draw(st.integers(0, 20_000))
    grants = share(RULES, supply(fuse, other), asked, previous, now)
    for phase in (1, 2, 3):
        on_phase = [d for d in asked if phase in d.grid_phases]
        worst = sum(max(grants[d.connector_id].limit_ma, d.held_ma) for d in on_phase)
        already = sum(
            max(min(grants[d.connector_id].limit_ma, _old(previous, d)), d.held_ma)
            for d in on_phase
        )
        assert worst <= max(fuse - other[phase - 1], already)


@given(demands, loads, st.integers(6_000, 250_000))
def test_settled_grants_fit_the_fuse_and_are_zero_or_at_least_six_amps(asked, other, fuse):
    grants = settle(supply(fuse, other), asked)
    for phase in (1, 2, 3):
        used = sum(grants[d.connector_id].limit_ma for d in asked if phase in d.grid_phases)
        assert used <= max(0, fuse - other[phase - 1])
    for d in asked:
        limit = grants[d.connector_id].limit_ma
        assert limit == 0 or MIN_CHARGE_MA <= limit <= d.caps[0].limit_ma
        assert d.wants or limit == 0
        assert grants[d.connector_id].reason


def _old(previous, d):
    return previous[d.connector_id].limit_ma if d.connector_id in previous else 0
