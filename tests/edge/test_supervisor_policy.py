from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from baywatt_edge.supervisor import policy
from baywatt_edge.supervisor.policy import Child, Criticality, Phase, RestartPolicy

HEARTBEAT_MS = 1000
POLICY = RestartPolicy(base_ms=200, cap_ms=30_000, intensity=5, window_ms=300_000, slow_ms=300_000)


def full(_low: float, high: float) -> float:
    """The worst draw of the jitter."""
    return high


def none(_low: float, _high: float) -> float:
    return 0.0


def child(criticality: Criticality = Criticality.MONEY, now_ms: int = 0) -> Child:
    return policy.started(policy.added("ocpp", criticality, HEARTBEAT_MS, POLICY, now_ms), now_ms)


def failed_times(times: int, criticality: Criticality) -> tuple[Child, int, list[int]]:
    """A child that fails as soon as it starts; also the moment and the delays."""
    each, now_ms, delays = child(criticality), 0, []
    for _ in range(times):
        each = policy.ended(each, "boom", now_ms, full)
        delays.append(each.start_at_ms - now_ms)
        now_ms = each.start_at_ms
        each = policy.started(each, now_ms)
    return each, now_ms, delays


def test_backoff_doubles_up_to_the_cap_for_money() -> None:
    _, _, delays = failed_times(9, Criticality.MONEY)
    assert delays[:4] == [200, 400, 800, 1600]
    assert delays[4:6] == [POLICY.cap_ms, POLICY.cap_ms]
    assert max(delays) == POLICY.cap_ms


def test_a_nice_child_past_its_intensity_is_retried_slowly() -> None:
    each, now_ms, delays = failed_times(5, Criticality.NICE)
    assert delays[-1] == POLICY.slow_ms
    assert not policy.degraded(each, now_ms + POLICY.window_ms)


def test_jitter_never_draws_a_spinning_restart() -> None:
    each = policy.ended(child(), "boom", 10, none)
    assert each.start_at_ms - 10 == 50


def test_a_missed_deadline_is_seen_one_millisecond_after_it() -> None:
    each = policy.beaten(child(), 500)
    assert not policy.overdue(each, 1500)
    assert policy.overdue(each, 1501)
    assert policy.next_deadline_ms([each]) == 1501


def test_a_restarted_child_gets_a_full_heartbeat_of_time() -> None:
    each = policy.ended(policy.beaten(child(), 0), "boom", 5000, none)
    each = policy.started(each, 5050)
    assert not policy.overdue(each, 6050)
    assert policy.overdue(each, 6051)


def test_the_watchdog_sees_the_silence_across_a_restart() -> None:
    each = policy.ended(policy.beaten(child(), 0), "boom", 900, full)
    assert policy.lost([each], 1000) == []
    assert policy.lost([policy.started(each, 1100)], 1100) == ["ocpp"]
    again = policy.beaten(policy.started(each, 1100), 1200)
    assert policy.lost([again], 1200) == []


def test_a_degraded_money_child_starves_the_watchdog_even_while_it_beats() -> None:
    each, now_ms, _ = failed_times(5, Criticality.MONEY)
    assert policy.lost([policy.beaten(each, now_ms)], now_ms) == ["ocpp"]


def test_a_dead_telemetry_child_never_starves_the_watchdog() -> None:
    each, now_ms, _ = failed_times(5, Criticality.TELEMETRY)
    assert policy.lost([each], now_ms + 10**6) == []


def test_a_cancelled_child_that_hangs_is_lost_but_not_started_twice() -> None:
    each = policy.cancelled(child(Criticality.SAFETY))
    assert not policy.due(each, 10**6)
    assert not policy.overdue(each, 10**6)
    assert policy.lost([each], 10**6) == ["ocpp"]
    assert policy.next_deadline_ms([each]) is None


def test_ready_waits_for_the_first_beat_of_safety_and_money_only() -> None:
    nice, money = child(Criticality.NICE), child(Criticality.MONEY)
    assert policy.all_up([nice])
    assert not policy.all_up([nice, money])
    assert policy.all_up([nice, policy.beaten(money, 1)])


STEPS = st.lists(st.tuples(st.sampled_from(["beat", "end", "pass"]), st.integers(1, 20_000)))


@given(STEPS, st.sampled_from(Criticality), st.floats(0, 1))
def test_any_history_keeps_the_restart_within_its_bounds(
    steps: list[tuple[str, int]], criticality: Criticality, share: float
) -> None:
    each, now_ms = child(criticality), 0
    for step, passed_ms in steps:
        now_ms += passed_ms
        if policy.due(each, now_ms):
            each = policy.started(each, now_ms)
        if step == "beat" and each.phase is Phase.RUNNING:
            each = policy.beaten(each, now_ms)
            assert policy.healthy(each, now_ms) or policy.degraded(each, now_ms)
        if step == "end" and each.phase is Phase.RUNNING:
            each = policy.ended(each, "boom", now_ms, lambda low, high: low + share * (high - low))
            limit_ms = POLICY.cap_ms if criticality.guards_watchdog else POLICY.slow_ms
            assert 50 <= each.start_at_ms - now_ms <= limit_ms
        deadline_ms = policy.next_deadline_ms([each])
        assert deadline_ms is not None
        # Nothing happens before the announced deadline, something does at it.
        quiet_ms = max(now_ms, deadline_ms - 1)
        if deadline_ms > now_ms:
            assert not policy.due(each, quiet_ms)
            assert not policy.overdue(each, quiet_ms)
        assert policy.due(each, deadline_ms) or policy.overdue(each, deadline_ms)
    assert len(each.failures_ms) <= 64


def test_quiet_time_forgives_old_failures() -> None:
    each, now_ms, _ = failed_times(6, Criticality.SAFETY)
    later_ms = now_ms + POLICY.window_ms
    each = replace(each, last_beat_ms=later_ms)
    assert policy.healthy(each, later_ms)
    assert policy.ended(each, "boom", later_ms, full).start_at_ms - later_ms == POLICY.base_ms
