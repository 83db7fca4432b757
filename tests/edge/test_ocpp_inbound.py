"""What the CSMS asks (1.6 chapter 5), and the configuration (sections 5.3, 5.8 and 9)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocpp_helpers import STATION, World, connector

from baywatt_contract.events import Authority, ConnectorStatus, StartSource, StopReason
from baywatt_contract.wishes import (
    AvailabilityWish,
    Outcome,
    ResetWish,
    SamplingWish,
    StartWish,
    StopWish,
    UnlockWish,
    Wish,
)
from baywatt_edge.ocpp.v16.config import Change, Config
from baywatt_edge.ocpp.v16.config_keys import keys_for

ACCEPTED, REJECTED = {"status": "Accepted"}, {"status": "Rejected"}


def refuse(kind: type) -> Any:
    def answer(wish: Wish) -> Outcome:
        return Outcome(accepted=not isinstance(wish, kind), reason="because")

    return answer


def test_remote_start_wishes_a_session_that_the_csms_vouches_for() -> None:
    world = World()
    assert world.ask("RemoteStartTransaction", {"connectorId": 2, "idTag": "CARD"}) == ACCEPTED
    (wish,) = world.house.asked(StartWish)
    assert (wish.connector_id, wish.token) == (12, "CARD")
    assert (wish.source, wish.authority) == (StartSource.CSMS, Authority.CSMS)


def test_every_call_is_a_wish_of_its_own() -> None:
    world = World()
    for _ in range(2):
        world.inject([2, "1", "RemoteStartTransaction", {"connectorId": 1, "idTag": "CARD"}])
    ids = {wish.wish_id for wish in world.house.asked(StartWish)}
    assert len(ids) == 2


def test_remote_start_without_a_connector_takes_a_free_one_where_a_car_waits() -> None:
    world = World()
    world.set(2, plugged=True)
    assert world.ask("RemoteStartTransaction", {"idTag": "CARD"}) == ACCEPTED
    assert world.house.asked(StartWish)[0].connector_id == 12
    world.set(1, session="a")
    world.set(2, session="b")
    assert world.ask("RemoteStartTransaction", {"idTag": "CARD"}) == REJECTED


@pytest.mark.parametrize("number", [0, 3, -1])
def test_remote_start_at_no_connector_is_rejected(number: int) -> None:
    world = World()
    payload = {"connectorId": number, "idTag": "CARD"}
    assert world.ask("RemoteStartTransaction", payload) == REJECTED


def test_remote_start_says_what_the_house_says() -> None:
    world = World()
    world.house.answer = refuse(StartWish)
    assert world.ask("RemoteStartTransaction", {"connectorId": 1, "idTag": "CARD"}) == REJECTED


def test_a_charging_profile_in_a_remote_start_is_ignored() -> None:
    """5.11: a station without smart charging should ignore it."""
    profile = {
        "chargingProfileId": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": {
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16.1}],
        },
    }
    payload = {"connectorId": 1, "idTag": "CARD", "chargingProfile": profile}
    assert World().ask("RemoteStartTransaction", payload) == ACCEPTED


def test_remote_stop_finds_the_session_by_its_number() -> None:
    world = World()
    world.begin("s1", 1)
    world.begin("s2", 2)
    assert world.ask("RemoteStopTransaction", {"transactionId": 102}) == ACCEPTED
    (wish,) = world.house.asked(StopWish)
    assert (wish.session, wish.reason) == ("s2", StopReason.REMOTE)
    assert world.ask("RemoteStopTransaction", {"transactionId": 999}) == REJECTED


def test_remote_stop_works_after_a_restart() -> None:
    world = World()
    world.begin("s1", 1)
    world.restart()
    assert world.ask("RemoteStopTransaction", {"transactionId": 101}) == ACCEPTED


def test_change_availability_concerns_one_connector_or_all() -> None:
    """5.2."""
    world = World()
    payload = {"connectorId": 1, "type": "Inoperative"}
    assert world.ask("ChangeAvailability", payload) == ACCEPTED
    assert world.ask("ChangeAvailability", {"connectorId": 0, "type": "Operative"}) == ACCEPTED
    told = [(w.connector_id, w.operative) for w in world.house.asked(AvailabilityWish)]
    assert told == [(11, False), (11, True), (12, True)]


def test_change_availability_is_scheduled_while_a_transaction_runs() -> None:
    world = World()
    world.set(1, charging=True, session="s1", status=ConnectorStatus.CHARGING)
    scheduled = {"status": "Scheduled"}
    for number in (0, 1):
        payload = {"connectorId": number, "type": "Inoperative"}
        assert world.ask("ChangeAvailability", payload) == scheduled
    assert world.ask("ChangeAvailability", {"connectorId": 1, "type": "Operative"}) == ACCEPTED


def test_change_availability_of_no_connector_is_rejected() -> None:
    world = World()
    assert world.ask("ChangeAvailability", {"connectorId": 9, "type": "Operative"}) == REJECTED
    world.house.answer = refuse(AvailabilityWish)
    assert world.ask("ChangeAvailability", {"connectorId": 1, "type": "Operative"}) == REJECTED


@pytest.mark.parametrize(("kind", "hard"), [("Hard", True), ("Soft", False)])
def test_reset_is_answered_before_it_is_wished(kind: str, hard: bool) -> None:
    """5.14."""
    world = World()
    answered_before: list[bool] = []

    def answer(wish: Wish) -> Outcome:
        answered_before.append(world.sent[-1][0] == 3)
        return Outcome(accepted=True)

    world.house.answer = answer
    assert world.ask("Reset", {"type": kind}) == ACCEPTED
    assert answered_before == [True]
    assert world.house.asked(ResetWish)[0].hard is hard


def test_a_reset_that_fails_is_retried_as_configured() -> None:
    """9.1.22 ResetRetries."""
    world = World(ResetRetries="2")
    world.house.answer = refuse(ResetWish)
    world.ask("Reset", {"type": "Soft"})
    world.pass_ms(60_000)
    assert len(world.house.asked(ResetWish)) == 3


def test_unlock_tells_whether_it_could_be_done() -> None:
    """5.18 and errata 3.87."""
    world = World([connector(1), connector(2, plug="type2-cable")])
    assert world.ask("UnlockConnector", {"connectorId": 1}) == {"status": "Unlocked"}
    assert world.house.asked(UnlockWish)[0].connector_id == 11
    for number in (0, 2, 3):
        answer = world.ask("UnlockConnector", {"connectorId": number})
        assert answer == {"status": "NotSupported"}
    world.house.answer = refuse(UnlockWish)
    assert world.ask("UnlockConnector", {"connectorId": 1}) == {"status": "UnlockFailed"}


def test_clear_cache_is_rejected_without_a_cache() -> None:
    """Errata 3.23."""
    assert World().ask("ClearCache", {}) == REJECTED


def test_data_transfer_knows_no_vendor() -> None:
    answer = World().ask("DataTransfer", {"vendorId": "x", "messageId": "y", "data": "z"})
    assert answer == {"status": "UnknownVendorId"}


@pytest.mark.parametrize(
    ("action", "payload", "answer"),
    [
        ("GetLocalListVersion", {}, "NotSupported"),
        ("CancelReservation", {"reservationId": 1}, "NotSupported"),
        ("ClearChargingProfile", {}, "NotSupported"),
        ("Heartbeat", {}, "NotSupported"),
        ("MakeCoffee", {}, "NotImplemented"),
    ],
)
def test_other_actions_get_a_call_error(action: str, payload: Any, answer: str) -> None:
    """1.6J 4.2.3 and errata 3.9."""
    assert World().ask(action, payload) == answer


def test_set_charging_profile_says_that_it_is_not_supported() -> None:
    profile = {
        "chargingProfileId": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": {
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16}],
        },
    }
    payload = {"connectorId": 1, "csChargingProfiles": profile}
    assert World().ask("SetChargingProfile", payload) == {"status": "NotSupported"}


def test_trigger_answers_first_and_sends_then() -> None:
    """5.17."""
    world = World()
    before = len(world.sent)
    world.ask("TriggerMessage", {"requestedMessage": "StatusNotification"})
    kinds = [(f[0], f[2] if f[0] == 2 else f[2]["status"]) for f in world.sent[before:]]
    assert kinds == [(3, "Accepted"), *[(2, "StatusNotification")] * 3]


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        ({"requestedMessage": "Heartbeat"}, "Accepted"),
        ({"requestedMessage": "BootNotification"}, "Rejected"),  # errata 3.35
        ({"requestedMessage": "StatusNotification", "connectorId": 9}, "Rejected"),
        ({"requestedMessage": "MeterValues"}, "Rejected"),  # nothing is measured
        ({"requestedMessage": "FirmwareStatusNotification"}, "NotImplemented"),
        ({"requestedMessage": "DiagnosticsStatusNotification"}, "NotImplemented"),
        ({"requestedMessage": "Poem"}, "NotImplemented"),
    ],
)
def test_trigger_judges_each_message(payload: Any, status: str) -> None:
    assert World().ask("TriggerMessage", payload) == {"status": status}


def test_triggered_meter_values_are_the_most_recent_ones() -> None:
    world = World()
    world.begin("s1", 1)
    world.set(1, register_wh=5600, power_w=7000, session="s1", charging=True)
    world.set(2, register_wh=99)
    world.ask("TriggerMessage", {"requestedMessage": "MeterValues"})
    first, second = world.payloads("MeterValues")
    assert (first["connectorId"], first["transactionId"]) == (1, 101)
    values = first["meterValue"][0]["sampledValue"]
    assert (values[0]["value"], values[0]["context"]) == ("5600", "Trigger")
    assert "transactionId" not in second


def value_of(world: World, key: str) -> str:
    (entry,) = world.ask("GetConfiguration", {"key": [key]})["configurationKey"]
    return str(entry["value"])


CORE_REQUIRED = [
    "AuthorizeRemoteTxRequests",
    "ClockAlignedDataInterval",
    "ConnectionTimeOut",
    "ConnectorPhaseRotation",
    "GetConfigurationMaxKeys",
    "HeartbeatInterval",
    "LocalAuthorizeOffline",
    "LocalPreAuthorize",
    "MeterValuesAlignedData",
    "MeterValuesSampledData",
    "MeterValueSampleInterval",
    "NumberOfConnectors",
    "ResetRetries",
    "StopTransactionOnEVSideDisconnect",
    "StopTransactionOnInvalidId",
    "StopTxnAlignedData",
    "StopTxnSampledData",
    "SupportedFeatureProfiles",
    "TransactionMessageAttempts",
    "TransactionMessageRetryInterval",
    "UnlockConnectorOnEVSideDisconnect",
]


def test_every_required_core_key_is_there() -> None:
    """Section 9.1."""
    answer = World().ask("GetConfiguration", {})
    assert "unknownKey" not in answer
    keys = {entry["key"] for entry in answer["configurationKey"]}
    assert keys >= set(CORE_REQUIRED)
    assert "AuthorizationCacheEnabled" not in keys  # section 9: absent means not provided


def test_get_configuration_names_what_it_does_not_know() -> None:
    answer = World().ask("GetConfiguration", {"key": ["heartbeatinterval", "Nonsense"]})
    assert [entry["key"] for entry in answer["configurationKey"]] == ["HeartbeatInterval"]
    assert answer["unknownKey"] == ["Nonsense"]
    assert World().ask("GetConfiguration", {"key": []})["configurationKey"]


def test_get_configuration_of_too_many_keys_is_refused() -> None:
    answer = World().ask("GetConfiguration", {"key": ["HeartbeatInterval"] * 51})
    assert answer == "OccurenceConstraintViolation"


@pytest.mark.parametrize(
    ("key", "value", "status"),
    [
        ("HeartbeatInterval", "60", "Accepted"),
        ("heartbeatINTERVAL", "61", "Accepted"),
        ("HeartbeatInterval", "-1", "Rejected"),
        ("HeartbeatInterval", "1.5", "Rejected"),
        ("HeartbeatInterval", "", "Rejected"),
        ("HeartbeatInterval", "\u0661", "Rejected"),
        ("WebSocketPingInterval", "-5", "Rejected"),
        ("WebSocketPingInterval", "0", "Accepted"),
        ("LocalPreAuthorize", "true", "Accepted"),
        ("LocalPreAuthorize", "1", "Rejected"),
        ("NumberOfConnectors", "3", "Rejected"),
        ("AuthorizationCacheEnabled", "true", "NotSupported"),
        ("Nonsense", "1", "NotSupported"),
        ("MeterValuesSampledData", "Voltage,Current.Import.L1", "Accepted"),
        ("MeterValuesSampledData", "Voltage,SoC", "Rejected"),
        ("StopTxnSampledData", "", "Accepted"),
    ],
)
def test_change_configuration_says_exactly_what_became_of_it(
    key: str, value: str, status: str
) -> None:
    """5.3, 3.16.4 and 9.1.34."""
    world = World()
    change = {"key": key, "value": value}
    assert world.ask("ChangeConfiguration", change) == {"status": status}


def test_a_rejected_value_changes_nothing() -> None:
    world = World()
    before = value_of(world, "MeterValuesSampledData")
    world.ask("ChangeConfiguration", {"key": "MeterValuesSampledData", "value": "Nonsense"})
    assert value_of(world, "MeterValuesSampledData") == before


def test_accepted_means_written_down() -> None:
    world = World()
    world.crash_before_save = True
    assert world.ask("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "9"}) is None
    world.crash_before_save = False
    world.ask("ChangeConfiguration", {"key": "ResetRetries", "value": "4"})
    assert world.journal.documents[f"ocpp:{STATION}:config"]["ResetRetries"] == "4"
    world.restart()
    assert value_of(world, "ResetRetries") == "4"


def test_a_new_sampling_interval_reaches_the_site_at_once() -> None:
    world = World()
    world.ask("ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": "10"})
    assert world.house.asked(SamplingWish)[-1].interval_s == 10


def test_the_phase_rotation_is_that_of_the_site_file() -> None:
    """9.1.7."""
    outlets = [connector(1, phases=[2, 3, 1]), connector(2, phases=[1])]
    assert value_of(World(outlets), "ConnectorPhaseRotation") == "1.STR,2.NotApplicable"


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_key_and_no_value_can_break_the_store(key: str, value: str) -> None:
    config = Config(keys_for([connector(1)]))
    before = config.document()
    if config.change(key, value) is not Change.ACCEPTED:
        assert config.document() == before


@given(st.sampled_from(keys_for([connector(1)])), st.text(max_size=30) | st.integers().map(str))
def test_what_was_accepted_is_reported_and_survives(key: Any, value: str) -> None:
    config = Config(keys_for([connector(1)]))
    verdict = config.change(key.name, value)
    again = Config(keys_for([connector(1)]), config.document())
    assert again.text(key.name) == config.text(key.name)
    if verdict is Change.ACCEPTED:
        assert config.change(key.name, config.text(key.name)) is Change.ACCEPTED
