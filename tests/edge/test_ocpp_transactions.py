"""Transaction messages as a cursor over the journal (1.6 sections 3.7, 3.16, 4.7, 4.8, 4.10)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ocpp_helpers import STATION, World, authorised, connector, ended, sampled, started, stopped

from baywatt_contract.clock import ClockQuality, Instant
from baywatt_contract.events import Authority as Side
from baywatt_contract.events import SampleContext, StopReason
from baywatt_contract.wishes import LimitWish, StopWish
from baywatt_edge.ocpp.v16 import ledger
from baywatt_edge.ocpp.v16.ledger import MAX_STOP_SAMPLES, id_tag

TRANSACTIONAL = ("StartTransaction", "MeterValues", "StopTransaction")


def actions(world: World) -> list[str]:
    return [frame[2] for frame in world.calls() if frame[2] in TRANSACTIONAL]


def test_a_session_becomes_start_values_stop_with_the_registers() -> None:
    world = World()
    world.begin()
    world.happen(sampled("s1", 1), stopped("s1", 1), ended("s1", 1))
    assert actions(world) == ["StartTransaction", "MeterValues", "StopTransaction"]
    start, stop = world.payloads("StartTransaction")[0], world.payloads("StopTransaction")[0]
    assert (start["connectorId"], start["meterStart"], start["idTag"]) == (1, 5000, "04A1B2C3")
    assert (stop["transactionId"], stop["meterStop"], stop["reason"]) == (101, 6000, "Local")
    assert "transactionData" not in stop  # 3.16.5
    assert world.journal.cursors[f"ocpp:{STATION}"] == 4
    assert world.journal.documents[f"ocpp:{STATION}:transactions"] == {}


def test_messages_wait_for_the_answer_before_them_across_connectors() -> None:
    world = World()
    world.hold = True
    world.begin("s1", 1)
    world.begin("s2", 2)
    world.happen(sampled("s1", 1))
    assert actions(world) == ["StartTransaction"]
    world.hold = False
    world.answer_last()
    assert actions(world) == ["StartTransaction", "StartTransaction", "MeterValues"]


def test_others_may_overtake_the_queue() -> None:
    """3.7: a driver is not kept waiting."""
    world = World()
    world.hold = True
    world.begin()
    world.happen(sampled("s1", 1))
    answers: list[Any] = []
    world.core.authorise("CARD", lambda *answer: answers.append(answer))
    world.answer_last()
    assert world.calls()[-1][2] == "Authorize"


def test_offline_messages_wait_and_are_delivered_in_order() -> None:
    world = World()
    world.disconnect()
    world.begin()
    world.happen(sampled("s1", 1), stopped("s1", 1))
    assert actions(world) == []
    assert world.core.delivery.queued == 3
    world.connect()
    assert actions(world) == ["StartTransaction", "MeterValues", "StopTransaction"]
    assert world.payloads("StopTransaction")[0]["transactionId"] == 101
    assert len(world.calls("BootNotification")) == 1  # 1.6J 5.4: a reconnect is no boot


def test_a_failure_is_retried_after_interval_times_attempts_then_discarded() -> None:
    """3.7.1 with its own example: 3 attempts, 60 seconds."""
    world = World()
    world.answers["StartTransaction"] = [{"error": "InternalError"}] * 3
    world.begin()
    assert len(world.calls("StartTransaction")) == 1
    world.pass_ms(59_999)
    assert len(world.calls("StartTransaction")) == 1
    world.pass_ms(1)
    assert len(world.calls("StartTransaction")) == 2
    world.pass_ms(119_999)
    assert len(world.calls("StartTransaction")) == 2
    world.pass_ms(1)
    assert len(world.calls("StartTransaction")) == 3
    assert any("given up" in notice for notice in world.notices)
    world.happen(sampled("s1", 1), stopped("s1", 1))
    assert world.payloads("MeterValues")[0]["transactionId"] == -1  # errata 3.18
    assert world.payloads("StopTransaction")[0]["transactionId"] == -1
    ids = [frame[1] for frame in world.calls()]
    assert len(set(ids)) == len(ids)


def test_being_offline_is_no_attempt() -> None:
    world = World(TransactionMessageAttempts="1")
    world.hold = True
    world.begin()
    for _ in range(5):
        world.disconnect()
        world.connect()
    world.hold = False
    world.answer_last()
    assert len(world.calls("StartTransaction")) == 6
    assert not any("given up" in notice for notice in world.notices)
    assert world.journal.cursors[f"ocpp:{STATION}"] == 2


def test_a_silence_counts_only_when_the_csms_proves_to_be_there() -> None:
    world = World(TransactionMessageAttempts="1")
    world.hold = True
    world.begin()
    world.pass_ms(30_000)
    assert world.probes == 1
    world.disconnect()  # no pong came
    assert not any("given up" in notice for notice in world.notices)
    world.connect()
    world.pass_ms(30_000)
    world.pong()
    assert any("given up" in notice for notice in world.notices)


def test_a_transaction_id_of_zero_or_below_is_a_number_like_any_other() -> None:
    """Errata 3.54."""
    for number in (0, -7):
        world = World()
        accepted = {"status": "Accepted"}
        world.answers["StartTransaction"] = [{"transactionId": number, "idTagInfo": accepted}]
        world.begin()
        assert world.ask("RemoteStopTransaction", {"transactionId": number}) == accepted
        world.happen(stopped("s1", 1))
        assert world.payloads("StopTransaction")[0]["transactionId"] == number


def test_sessions_of_other_stations_are_passed_over() -> None:
    world = World()
    world.begin("s9", 9)
    world.happen(sampled("s9", 9), stopped("s9", 9))
    assert actions(world) == []


def test_the_cursor_moves_over_rows_that_need_no_message() -> None:
    world = World()
    for number in range(250):
        world.happen(authorised(f"x{number}", 9))
    assert world.journal.cursors[f"ocpp:{STATION}"] >= 200


def test_the_idtag_is_named_only_when_a_card_stopped_it() -> None:
    """4.10."""
    cases = [(StopReason.LOCAL, "CARD", True), (StopReason.REMOTE, "CARD", False)]
    for reason, token, named in cases:
        world = World()
        world.begin()
        world.happen(stopped("s1", 1, reason=reason, token=token))
        assert ("idTag" in world.payloads("StopTransaction")[0]) is named


@pytest.mark.parametrize("reason", list(StopReason))
def test_every_stop_reason_is_one_of_the_protocol(reason: StopReason) -> None:
    world = World()
    world.begin()
    world.happen(stopped("s1", 1, reason=reason))
    assert world.payloads("StopTransaction")[0]["reason"] == reason.value


def test_a_long_token_travels_as_a_hash_of_20_characters() -> None:
    assert id_tag("x" * 20) == "x" * 20
    assert len(id_tag("x" * 21)) == 20
    assert id_tag("a" * 40) == id_tag("A" * 40) != id_tag("b" * 40)


def test_meter_values_hold_the_configured_measurands_of_all_phases() -> None:
    """3.16.3 and 9.1.17."""
    world = World(MeterValuesSampledData="Current.Import,Voltage.L2,Energy.Active.Import.Register")
    world.begin()
    world.happen(sampled("s1", 1))
    (value,) = world.payloads("MeterValues")[0]["meterValue"]
    told = [(v["measurand"], v.get("phase"), v["value"]) for v in value["sampledValue"]]
    assert told == [
        ("Current.Import", "L1", "16"),
        ("Current.Import", "L2", "15.98"),
        ("Current.Import", "L3", "16.02"),
        ("Voltage", "L2-N", "229.9"),
        ("Energy.Active.Import.Register", None, "5500"),
    ]
    assert all(isinstance(v["value"], str) for v in value["sampledValue"])


def test_a_single_phase_outlet_reports_one_phase() -> None:
    world = World([connector(1, phases=[2])], MeterValuesSampledData="Current.Import")
    world.begin()
    world.happen(sampled("s1", 1))
    (value,) = world.payloads("MeterValues")[0]["meterValue"]
    assert [v["phase"] for v in value["sampledValue"]] == ["L1"]


def test_clock_aligned_samples_follow_their_own_list() -> None:
    world = World(MeterValuesAlignedData="", ClockAlignedDataInterval="900")
    world.begin()
    world.happen(sampled("s1", 1, context=SampleContext.CLOCK))
    assert world.payloads("MeterValues") == []
    world.ask(
        "ChangeConfiguration", {"key": "MeterValuesAlignedData", "value": "Power.Active.Import"}
    )
    world.happen(sampled("s1", 1, context=SampleContext.CLOCK))
    (value,) = world.payloads("MeterValues")[0]["meterValue"]
    assert [v["context"] for v in value["sampledValue"]] == ["Sample.Clock"]


def test_transaction_data_has_begin_and_end_and_drops_only_between() -> None:
    """Errata 3.14 and 3.91."""
    world = World(
        StopTxnSampledData="Energy.Active.Import.Register,Power.Active.Import",
        MeterValuesSampledData="",
    )
    world.begin()
    for number in range(500):
        world.happen(sampled("s1", 1, energy_wh=5001 + number))
    world.happen(stopped("s1", 1))
    data = world.payloads("StopTransaction")[0]["transactionData"]
    values = [each["sampledValue"][0] for each in data]
    assert len(data) <= MAX_STOP_SAMPLES + 1
    assert (values[0]["context"], values[0]["value"]) == ("Transaction.Begin", "5000")
    assert (values[-1]["context"], values[-1]["value"]) == ("Transaction.End", "6000")
    energies = [int(value["value"]) for value in values]
    assert energies == sorted(energies)


def test_stamps_from_before_the_clock_was_set_are_corrected() -> None:
    world = World()
    world.disconnect()
    now = world.clock.now()
    early = Instant(now.mono_ms - 5000, now.boot, 12_345, ClockQuality.UNSYNCED)
    world.journal.append(authorised("s1", 1), early)
    world.journal.append(started("s1", 1), early)
    world.feed()
    world.connect()
    stamp = world.payloads("StartTransaction")[0]["timestamp"]
    assert stamp == "2026-09-21T14:13:15.000Z"


def invalid_start(world: World, side: Side) -> None:
    refused = {"transactionId": 5, "idTagInfo": {"status": "Invalid"}}
    world.answers["StartTransaction"] = [refused]
    world.happen(authorised("s1", 1, side), started("s1", 1))


@pytest.mark.parametrize(
    ("authorise", "side", "stops"),
    [
        ("any", Side.CSMS, True),
        ("any", Side.CLOUD, False),
        ("any", Side.LOCAL, False),
        ("csms", Side.LOCAL, True),
        ("cloud", Side.CLOUD, False),
    ],
)
def test_an_invalid_token_stops_only_what_the_csms_may_stop(
    authorise: str, side: Side, stops: bool
) -> None:
    """4.8, errata 3.17, and two masters, one ledger."""
    world = World(authorise=authorise)
    invalid_start(world, side)
    wishes = world.house.asked(StopWish)
    assert bool(wishes) is stops
    if stops:
        assert (wishes[0].session, wishes[0].reason) == ("s1", StopReason.DE_AUTHORIZED)


def test_an_invalid_token_is_remembered_over_a_restart() -> None:
    world = World()
    invalid_start(world, Side.CSMS)
    world.house.wishes.clear()
    world.restart()
    assert [wish.session for wish in world.house.asked(StopWish)] == ["s1"]


def test_without_stop_on_invalid_only_the_energy_is_held_back() -> None:
    world = World(StopTransactionOnInvalidId="false")
    invalid_start(world, Side.CSMS)
    assert world.house.asked(StopWish) == []
    assert [wish.limit_ma for wish in world.house.asked(LimitWish)] == [0]
    world.happen(stopped("s1", 1))
    assert [wish.limit_ma for wish in world.house.asked(LimitWish)] == [0, None]


def test_a_restart_between_messages_repeats_none() -> None:
    world = World()
    world.begin()
    for payload in (sampled("s1", 1), sampled("s1", 1, energy_wh=5600), stopped("s1", 1)):
        world.restart()
        world.happen(payload)
    world.restart()
    assert actions(world) == [
        "StartTransaction",
        "MeterValues",
        "MeterValues",
        "StopTransaction",
    ]
    assert {p["transactionId"] for p in world.payloads("MeterValues")} == {101}


def test_a_crash_after_the_answer_and_before_the_write_repeats_that_message_only() -> None:
    world = World()
    world.begin()
    world.crash_before_save = True
    world.happen(sampled("s1", 1))
    world.restart()
    world.happen(stopped("s1", 1))
    assert actions(world) == [
        "StartTransaction",
        "MeterValues",
        "MeterValues",
        "StopTransaction",
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["event", "restart", "disconnect", "connect", "wait"]), max_size=40)
)
def test_whatever_happens_between_them_every_message_goes_once_and_in_order(
    steps: list[str],
) -> None:
    world = World()
    connected = True
    events = [
        authorised("s1", 1),
        started("s1", 1),
        sampled("s1", 1, energy_wh=5100),
        authorised("s2", 2),
        started("s2", 2, energy_wh=100),
        sampled("s1", 1, energy_wh=5200),
        stopped("s1", 1),
        sampled("s2", 2, energy_wh=200),
        stopped("s2", 2),
    ]
    expected = len([e for e in events if e.type_name() != "SessionAuthorised"])
    for step in [*steps, *["event"] * len(events)]:
        if step == "event" and events:
            world.happen(events.pop(0))
        elif step == "restart":
            world.restart()
            connected = True
        elif step == "disconnect" and connected:
            world.disconnect()
            connected = False
        elif step == "connect" and not connected:
            world.connect()
            connected = True
        elif step == "wait":
            world.pass_ms(10_000)
    if not connected:
        world.connect()
    assert len(actions(world)) == expected
    rows = [r.at.mono_ms for r in world.journal.rows]
    assert rows == sorted(rows)
    stops = {p["transactionId"]: p["meterStop"] for p in world.payloads("StopTransaction")}
    assert stops == {101: 6000, 102: 6000}


def test_a_row_that_cannot_be_read_does_not_hold_up_the_others() -> None:
    world = World()
    world.begin()
    world.journal.append(sampled("s1", 1))
    world.journal.rows[-1].data["energy_wh"] = "garbage"
    world.happen(stopped("s1", 1))
    assert actions(world) == ["StartTransaction", "StopTransaction"]
    assert any("passed over" in notice for notice in world.notices)


def test_a_message_that_can_never_be_sent_does_not_hold_up_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    monkeypatch.setattr(ledger, "id_tag", lambda token: token)  # a bug that makes it too long
    world.happen(authorised("s1", 1), started("s1", 1, token="x" * 21))
    world.happen(authorised("s2", 2), started("s2", 2))
    assert [p["connectorId"] for p in world.payloads("StartTransaction")] == [2]
    assert any("dropped" in notice for notice in world.notices)


def test_after_a_start_or_stop_the_next_message_waits_until_it_is_written_down() -> None:
    world = World()
    world.begin()
    world.crash_before_save = True
    world.happen(sampled("s1", 1), stopped("s1", 1))
    world.begin("s2", 2)
    assert actions(world) == ["StartTransaction", "MeterValues", "StopTransaction"]


def test_a_long_backlog_is_read_in_bounds_and_delivered_whole() -> None:
    world = World()
    world.disconnect()
    world.begin()
    for number in range(1500):
        world.journal.append(sampled("s1", 1, energy_wh=5001 + number))
    while world.core.delivery.wants_rows:
        first = world.core.delivery.read_to
        rows = world.journal.rows[first : first + 200]
        world._do(world.core.rows(rows, world.clock.now()))
    assert 1000 <= world.core.delivery.queued <= 1200
    world.hold = True
    world.connect()
    for _ in range(1000):
        world.answer_last()
    assert world.core.delivery.wants_rows
    world.feed()
    for _ in range(501):
        world.answer_last()
    energies = [
        p["meterValue"][0]["sampledValue"][0]["value"] for p in world.payloads("MeterValues")
    ]
    assert energies == [str(5001 + number) for number in range(1500)]


def test_a_stop_whose_start_was_never_seen_goes_with_minus_one() -> None:
    """Errata 3.18."""
    world = World()
    world.happen(stopped("s1", 1))
    assert world.payloads("StopTransaction")[0]["transactionId"] == -1
