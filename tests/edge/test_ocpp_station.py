"""Boot, heartbeat, clock, status and authorisation in virtual time."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocpp_helpers import World, started

from baywatt_contract.events import ConnectorStatus
from baywatt_contract.observations import FaultCode
from baywatt_contract.wishes import SamplingWish
from baywatt_edge.ocpp.backoff import BackOff, BackOffRule


def statuses(world: World, number: int = 1) -> list[str]:
    return [p["status"] for p in world.payloads("StatusNotification") if p["connectorId"] == number]


def booting(status: str, interval: int) -> World:
    world = World(connect=False)
    world.boot_answer = {"status": status, "interval": interval}
    world.connect()
    return world


def test_after_acceptance_zero_and_every_connector_report() -> None:
    """4.2 and errata 3.22."""
    world = World()
    assert world.calls()[0][2] == "BootNotification"
    numbers = [p["connectorId"] for p in world.payloads("StatusNotification")]
    assert numbers == [0, 1, 2]


def test_nothing_but_boot_leaves_before_acceptance() -> None:
    world = World(connect=False)
    world.hold = True
    world.connect()
    world.begin()
    world.set(1, status=ConnectorStatus.CHARGING)
    world.pass_ms(20_000)
    assert {frame[2] for frame in world.calls()} == {"BootNotification"}


@pytest.mark.parametrize("status", ["Pending", "Rejected"])
def test_the_interval_is_the_wait_before_the_next_boot(status: str) -> None:
    world = booting(status, 120)
    world.begin()
    world.pass_ms(119_999)
    assert len(world.calls()) == 1
    world.boot_answer = {}
    world.pass_ms(1)
    assert len(world.calls("BootNotification")) == 2
    assert len(world.calls("StartTransaction")) == 1


def test_an_interval_of_zero_is_our_own_choice() -> None:
    world = booting("Pending", 0)
    world.pass_ms(10_000)
    assert len(world.calls("BootNotification")) == 1
    world.pass_ms(60_000)
    assert 2 <= len(world.calls("BootNotification")) <= 4


def test_pending_answers_and_sends_what_is_triggered_but_starts_nothing() -> None:
    world = booting("Pending", 600)
    assert world.ask("RemoteStartTransaction", {"idTag": "A"}) == {"status": "Rejected"}
    assert world.ask("RemoteStopTransaction", {"transactionId": 1}) == {"status": "Rejected"}
    change = {"key": "HeartbeatInterval", "value": "77"}
    assert world.ask("ChangeConfiguration", change) == {"status": "Accepted"}
    trigger = {"requestedMessage": "StatusNotification", "connectorId": 1}
    assert world.ask("TriggerMessage", trigger) == {"status": "Accepted"}
    assert statuses(world) == ["Available"]
    boot = {"requestedMessage": "BootNotification"}
    assert world.ask("TriggerMessage", boot) == {"status": "Accepted"}
    assert len(world.calls("BootNotification")) == 2


def test_rejected_is_mute_until_the_interval_is_over() -> None:
    """4.2: shall not respond to any message."""
    world = booting("Rejected", 600)
    before = len(world.sent)
    assert world.ask("Reset", {"type": "Soft"}) is None
    assert world.ask("Nonsense", {}) is None
    assert len(world.sent) == before
    world.pass_ms(599_000)
    assert len(world.sent) == before


def test_a_boot_without_an_answer_is_asked_again() -> None:
    world = World(connect=False)
    world.answers["BootNotification"] = ["silence", {"error": "InternalError"}, {"status": "Odd"}]
    world.connect()
    world.pass_ms(150_000)
    assert len(world.calls("BootNotification")) == 4
    assert statuses(world) == ["Available"]


def test_a_reconnect_is_no_boot_and_reports_only_news() -> None:
    """1.6J 5.4."""
    world = World()
    world.disconnect()
    world.set(2, status=ConnectorStatus.PREPARING)
    world.connect()
    assert len(world.calls("BootNotification")) == 1
    assert statuses(world, 1) == ["Available"]
    assert statuses(world, 2) == ["Available", "Preparing"]


def test_a_lost_boot_is_repeated_on_the_next_connection() -> None:
    world = World(connect=False)
    world.hold = True
    world.connect()
    world.disconnect()
    world.hold = False
    world.connect()
    assert len(world.calls("BootNotification")) == 2
    assert statuses(world) == ["Available"]


def test_the_boot_interval_is_the_heartbeat_interval() -> None:
    world = World(connect=False)
    world.boot_answer = {"interval": 40}
    world.connect()
    world.pass_ms(39_999)
    assert world.calls("Heartbeat") == []
    world.pass_ms(1)
    assert len(world.calls("Heartbeat")) == 1
    world.pass_ms(400_000)
    assert len(world.calls("Heartbeat")) == 11


def test_a_heartbeat_follows_inactivity_only() -> None:
    """9.1.10."""
    world = World()
    for _ in range(10):
        world.pass_ms(200_000)
        world.ask("TriggerMessage", {"requestedMessage": "StatusNotification"})
    assert world.calls("Heartbeat") == []


def test_a_heartbeat_a_day_keeps_the_clock_right_even_when_they_are_off() -> None:
    """1.6J 5.3."""
    world = World()
    world.ask("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "0"})
    world.pass_ms(24 * 3_600_000)
    assert len(world.calls("Heartbeat")) == 1


@pytest.mark.parametrize(
    ("text", "utc_ms"),
    [
        ("2026-09-21T14:13:20Z", 1_790_000_000_000),
        ("2026-09-21T16:13:20.123456+02:00", 1_790_000_000_123),
        ("2026-09-21T14:13:20.5", 1_790_000_000_500),
    ],
)
def test_the_clock_is_set_from_any_iso_8601_stamp(text: str, utc_ms: int) -> None:
    world = World(connect=False)
    world.boot_answer = {"currentTime": text}
    world.connect()
    assert world.clock.trusted == [(utc_ms, "csms")]


@pytest.mark.parametrize("text", ["", "yesterday", "1970-01-01T00:00:00Z", "9999-12-31T00:00:00Z"])
def test_an_absurd_time_is_not_believed(text: str) -> None:
    world = World(connect=False)
    world.boot_answer = {"currentTime": text}
    world.connect()
    assert world.clock.trusted == []
    assert any("currentTime" in notice for notice in world.notices)
    assert statuses(world) == ["Available"]


def test_a_status_must_be_stable_and_the_final_one_is_always_told() -> None:
    """9.1.20 MinimumStatusDuration."""
    world = World(MinimumStatusDuration="10")
    world.set(1, status=ConnectorStatus.PREPARING)
    world.pass_ms(6_000)
    world.set(1, status=ConnectorStatus.CHARGING)
    world.pass_ms(6_000)
    assert statuses(world) == ["Available"]
    world.pass_ms(4_000)
    assert statuses(world) == ["Available", "Charging"]
    world.set(1, status=ConnectorStatus.FINISHING)
    world.set(1, status=ConnectorStatus.CHARGING)
    world.pass_ms(60_000)
    assert statuses(world) == ["Available", "Charging"]


def test_equal_statuses_are_not_repeated_and_power_is_no_status() -> None:
    world = World()
    for power in range(50):
        world.set(1, power_w=power)
    assert statuses(world) == ["Available"]


def test_a_status_that_changes_while_it_waits_is_told_as_it_is_then() -> None:
    world = World()
    world.hold = True
    world.set(1, status=ConnectorStatus.PREPARING)
    world.set(2, status=ConnectorStatus.PREPARING)
    world.set(2, status=ConnectorStatus.CHARGING)
    world.hold = False
    world.answer_last()
    assert statuses(world, 2) == ["Available", "Charging"]


def test_an_unanswered_status_is_told_again() -> None:
    world = World()
    world.answers["StatusNotification"] = ["silence"]
    world.set(1, status=ConnectorStatus.CHARGING)
    world.pass_ms(31_000)
    assert statuses(world) == ["Available", "Charging", "Charging"]


@pytest.mark.parametrize("fault", list(FaultCode))
def test_every_fault_has_an_error_code_and_words(fault: FaultCode) -> None:
    world = World()
    world.set(1, status=ConnectorStatus.FAULTED, faults=(fault,), reason="r" * 80)
    told = world.payloads("StatusNotification")[-1]
    assert told["errorCode"] != "NoError"
    assert told["vendorErrorCode"] == fault.value
    assert len(told["info"]) == 50


def test_connector_zero_is_available_unavailable_or_faulted() -> None:
    """4.9."""
    world = World()
    for number in (1, 2):
        world.set(number, status=ConnectorStatus.UNAVAILABLE, operative=False)
    assert statuses(world, 0) == ["Available", "Unavailable"]
    for number in (1, 2):
        world.set(number, status=ConnectorStatus.FAULTED, operative=True)
    assert statuses(world, 0)[-1] == "Faulted"


def test_authorise_goes_before_everything_that_waits() -> None:
    world = World()
    world.hold = True
    world.set(1, status=ConnectorStatus.PREPARING)
    world.set(2, status=ConnectorStatus.PREPARING)
    answers: list[Any] = []
    world.core.authorise("CARD", lambda *answer: answers.append(answer))
    world.hold = False
    world.answer_last()
    order = [frame[2] for frame in world.calls()][-3:]
    assert order == ["StatusNotification", "Authorize", "StatusNotification"]
    assert answers == [(True, "the CSMS says Accepted")]


def test_authorise_cannot_be_asked_offline_or_before_acceptance() -> None:
    world = World()
    world.disconnect()
    assert world.core.authorise("CARD", lambda *_: None) is None
    pending = booting("Pending", 600)
    assert pending.core.authorise("CARD", lambda *_: None) is None


def test_an_authorise_that_dies_with_the_connection_says_so() -> None:
    world = World()
    world.hold = True
    answers: list[Any] = []
    for _ in range(2):
        world.core.authorise("CARD", lambda *answer: answers.append(answer))
    world._do(world.core.drain(world.clock.now()))
    world.disconnect()
    assert [accepted for accepted, _ in answers] == [None, None]


def test_the_configured_sampling_is_asked_for_at_every_start() -> None:
    world = World(MeterValueSampleInterval="15", ClockAlignedDataInterval="900")
    (wish,) = world.house.asked(SamplingWish)
    assert (wish.interval_s, wish.aligned_s) == (15, 900)


def test_the_core_never_asks_to_be_woken_in_vain() -> None:
    world = World()
    world.hold = True
    world.happen(started("s1", 1))
    world.pass_ms(3_600_000)
    world.disconnect()
    world.pass_ms(3_600_000)


@given(st.integers(0, 2**32), st.integers(0, 12))
def test_back_off_doubles_to_its_limit_with_new_jitter(seed: int, attempts: int) -> None:
    """2.0.1 part 4, 5.3."""
    rule = BackOffRule(minimum_s=3, random_s=5, repeats=4)
    back_off = BackOff(rule, Random(seed))  # noqa: S311 - jitter
    waits = [back_off.next_wait_s() for _ in range(attempts)]
    for number, wait in enumerate(waits):
        base = 3 * 2 ** min(number, 4)
        assert base <= wait <= base + 5


def test_back_off_begins_again_only_after_a_stable_connection() -> None:
    rule = BackOffRule(minimum_s=3, random_s=0, repeats=4, stable_s=30)
    back_off = BackOff(rule, Random(1))  # noqa: S311 - jitter
    waits = []
    for lasted_s in (1, 1, 1, 31, 1):
        back_off.connection_ended(lasted_s)
        waits.append(back_off.next_wait_s())
    assert waits == [3, 6, 12, 3, 6]
