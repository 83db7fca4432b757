"""The poll scheduler in virtual time: priorities, fairness, and the price of a silent device."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from baywatt_edge.devices.schedule import Choice, Manners, Priority, Schedule, Want

TEN = Manners(timeout_ms=10)


def test_controls_go_before_demands_and_demands_before_polls() -> None:
    schedule = Schedule(dict.fromkeys("abc", TEN))
    wants = {
        "a": Want(0, Priority.POLL),
        "b": Want(50, Priority.DEMAND),
        "c": Want(90, Priority.CONTROL),
    }
    assert schedule.choose(wants, 100).device_id == "c"
    assert schedule.choose(wants | {"c": None}, 100).device_id == "b"
    assert schedule.choose(wants | {"c": None, "b": None}, 100).device_id == "a"


def test_without_a_turn_it_says_when_to_look_again() -> None:
    schedule = Schedule({"a": Manners(10, gap_ms=110)})
    schedule.answered("a", 1000)
    assert schedule.choose({"a": Want(0, Priority.CONTROL)}, 1000) == Choice(None, 1110)
    assert schedule.choose({"a": Want(5000, Priority.POLL)}, 2000) == Choice(None, 2200)
    assert schedule.choose({"a": None}, 2000) == Choice(None, 2200)
    assert schedule.choose({"a": Want(0, Priority.POLL)}, 1110).device_id == "a"


def test_an_answer_ends_the_rest_of_a_silent_device() -> None:
    schedule = Schedule({"a": TEN})
    for _ in range(5):
        schedule.missed("a", 0)
    assert schedule.silent("a")
    assert schedule.choose({"a": Want(0, Priority.POLL)}, 50).device_id is None
    schedule.answered("a", 200)
    assert not schedule.silent("a")
    assert schedule.choose({"a": Want(0, Priority.POLL)}, 200).device_id == "a"


def test_a_new_line_gives_everybody_a_fresh_chance() -> None:
    schedule = Schedule({"a": TEN})
    for _ in range(9):
        schedule.missed("a", 0)
    schedule.reset()
    assert schedule.choose({"a": Want(0, Priority.POLL)}, 1).device_id == "a"


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.booleans(), min_size=2, max_size=6),
    st.integers(10, 40),
    st.integers(20, 400),
)
def test_a_saturated_bus_is_shared_fairly_and_silence_costs_a_tenth(
    silent: list[bool], answer_ms: int, timeout_ms: int
) -> None:
    """Every device always wants to be polled; silent ones cost their time-out each time."""
    names = [f"d{i}" for i in range(len(silent))]
    schedule = Schedule({name: Manners(timeout_ms) for name in names})
    due = dict.fromkeys(names, 0)
    turns = dict.fromkeys(names, 0)
    lost_ms = now = 0
    settle_ms, end_ms = 12 * timeout_ms * len(names), 50 * timeout_ms * len(names)
    while now < end_ms:
        choice = schedule.choose({n: Want(due[n], Priority.POLL) for n in names}, now)
        if choice.device_id is None:
            assert choice.until_ms > now
            now = choice.until_ms
            continue
        name = choice.device_id
        if silent[names.index(name)]:
            now += timeout_ms
            lost_ms += timeout_ms if now > settle_ms else 0
            schedule.missed(name, now)
        else:
            now += answer_ms
            turns[name] += 1
            schedule.answered(name, now)
        due[name] = now
    healthy = [turns[n] for n, is_silent in zip(names, silent, strict=True) if not is_silent]
    if healthy:
        assert max(healthy) - min(healthy) <= 1
    # A probe of t is followed by a rest of at least 10 t: less than 1/11 each, and rounding.
    assert lost_ms <= sum(silent) * ((end_ms - settle_ms) / 11 + 2 * timeout_ms)


@given(st.lists(st.sampled_from(["answered", "missed"]), max_size=60), st.integers(10, 5000))
def test_a_device_that_is_back_is_found_within_its_longest_rest(
    history: list[str], timeout_ms: int
) -> None:
    schedule = Schedule({"a": Manners(timeout_ms)})
    for now, what in enumerate(history):
        getattr(schedule, what)("a", now)
    longest = max(10_000, 10 * timeout_ms)
    want = {"a": Want(0, Priority.POLL)}
    assert schedule.choose(want, len(history) + longest).device_id == "a"
