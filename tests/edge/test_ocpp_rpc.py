"""The RPC layer: frames, one outstanding CALL, time-outs, late answers, CALLERROR codes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baywatt_edge.ocpp.errors import BadOutgoingError, BusyError
from baywatt_edge.ocpp.rpc import (
    MAX_UNANSWERED,
    Answered,
    Asked,
    Dropped,
    Failure,
    FailureKind,
    Rpc,
    Write,
    new_message_id,
)
from baywatt_edge.ocpp.v16.dialect import dialect

DIALECT = dialect()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children),
    max_leaves=12,
)


def rpc(**options: Any) -> Rpc:
    return Rpc(DIALECT, **options)


def arrive(core: Rpc, frame: Any) -> Any:
    return core.receive(json.dumps(frame).encode())


def refusal(core: Rpc, frame: Any) -> list[Any]:
    answer = arrive(core, frame)
    assert isinstance(answer, Write), answer
    error: list[Any] = json.loads(answer.data)
    assert error[0] == 4
    assert error[4] == {}
    return error


def sent_id(data: bytes) -> str:
    return str(json.loads(data)[1])


@given(st.binary(max_size=300))
def test_no_bytes_can_crash_the_reader(data: bytes) -> None:
    assert isinstance(rpc().receive(data), Write | Dropped | Asked)


@given(JSON)
def test_no_json_can_crash_the_reader(value: Any) -> None:
    assert isinstance(arrive(rpc(), value), Write | Dropped | Asked)


@given(JSON)
def test_no_payload_can_crash_the_reader(payload: Any) -> None:
    for action in ("RemoteStartTransaction", "ChangeConfiguration", "SetChargingProfile"):
        assert isinstance(arrive(rpc(), [2, "1", action, payload]), Write | Asked)


@given(st.lists(st.sampled_from(["call", "answer", "error", "late", "expire"]), max_size=30))
def test_a_call_ends_exactly_once_whatever_arrives(steps: list[str]) -> None:
    core, now, ids, ended = rpc(), 0, [], 0
    for step in steps:
        now += 1000
        result: Any = None
        if step == "call":
            if core.idle:
                ids.append(sent_id(core.call("Heartbeat", {}, now, 30_000)))
            else:
                with pytest.raises(BusyError):
                    core.call("Heartbeat", {}, now, 30_000)
        elif step == "expire":
            now += 30_000
            result = core.expire(now)
        elif ids:
            target = ids[0] if step == "late" else ids[-1]
            answer = {"currentTime": "2026-01-01T00:00:00Z"}
            frame = [4, target, "GenericError", "", {}] if step == "error" else [3, target, answer]
            result = arrive(core, frame)
        ended += isinstance(result, Answered)
        assert ended == len(ids) - (not core.idle)


def test_one_outstanding_call_and_inbound_calls_are_answered_meanwhile() -> None:
    core = rpc()
    core.call("Heartbeat", {}, 0, 30_000)
    asked = arrive(core, [2, "in-1", "ClearCache", {}])
    assert asked == Asked("in-1", "ClearCache", {})
    answer = core.result("in-1", {"status": "Rejected"})
    assert json.loads(answer or b"") == [3, "in-1", {"status": "Rejected"}]
    assert not core.idle


def test_a_late_answer_is_dropped_and_does_not_satisfy_the_next_call() -> None:
    core = rpc()
    first = sent_id(core.call("Heartbeat", {}, 0, 1000))
    expired = core.expire(1000)
    assert expired is not None
    assert isinstance(expired.outcome, Failure)
    assert expired.outcome.kind is FailureKind.TIMEOUT
    core.call("Heartbeat", {}, 1000, 1000)
    late = arrive(core, [3, first, {"currentTime": "2026-01-01T00:00:00Z"}])
    assert isinstance(late, Dropped)
    assert not core.idle


def test_a_duplicate_answer_is_dropped() -> None:
    core = rpc()
    message_id = sent_id(core.call("Heartbeat", {}, 0, 1000))
    frame = [3, message_id, {"currentTime": "2026-01-01T00:00:00Z"}]
    assert isinstance(arrive(core, frame), Answered)
    assert isinstance(arrive(core, frame), Dropped)


def test_message_ids_fit_36_characters_and_never_repeat() -> None:
    ids = {new_message_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert max(map(len, ids)) <= 36


def test_a_null_payload_is_an_empty_object() -> None:
    assert arrive(rpc(), [2, "1", "ClearCache", None]) == Asked("1", "ClearCache", {})
    core = rpc()
    data = core.call("StatusNotification", _status(), 0, 1000)
    answered = arrive(core, [3, sent_id(data), None])
    assert answered == Answered("StatusNotification", {})


def test_an_answer_that_misfits_its_schema_is_a_failure() -> None:
    core = rpc()
    message_id = sent_id(core.call("Heartbeat", {}, 0, 1000))
    answered = arrive(core, [3, message_id, {}])
    assert isinstance(answered.outcome, Failure)
    assert answered.outcome.kind is FailureKind.MALFORMED


@pytest.mark.parametrize(
    ("frame", "message_id", "code"),
    [
        ([2, "1", "Nonsense", {}], "1", "NotImplemented"),
        ([2, "1", "StartTransactionResponse", {}], "1", "NotImplemented"),
        ([2, "1", "ChangeConfiguration", []], "1", "FormationViolation"),
        ([2, "1", "ChangeConfiguration", "x"], "1", "FormationViolation"),
        ([2, "1", "ChangeConfiguration"], "1", "FormationViolation"),
        ([2, "1", "ChangeConfiguration", {}, 5], "1", "FormationViolation"),
        ([2, "1", 7, {}], "1", "FormationViolation"),
        ([2, 1, "ClearCache", {}], "-1", "FormationViolation"),
        ([2, "x" * 37, "ClearCache", {}], "x" * 37, "FormationViolation"),
        ({"a": 1}, "-1", "FormationViolation"),
        ([2, "1", "ChangeConfiguration", {"key": "a"}], "1", "OccurenceConstraintViolation"),
        (
            [2, "1", "ChangeConfiguration", {"key": 1, "value": "a"}],
            "1",
            "TypeConstraintViolation",
        ),
        ([2, "1", "Reset", {"type": "Warm"}], "1", "PropertyConstraintViolation"),
        (
            [2, "1", "ChangeConfiguration", {"key": "k" * 51, "value": "a"}],
            "1",
            "PropertyConstraintViolation",
        ),
    ],
)
def test_a_bad_call_gets_the_right_call_error(frame: Any, message_id: str, code: str) -> None:
    """1.6J 4.2.3 with the wire names of errata 5.1 and 5.2."""
    assert refusal(rpc(), frame)[1:3] == [message_id, code]


def test_a_frame_above_the_cap_is_refused_and_nothing_is_parsed() -> None:
    core = rpc(max_frame_bytes=100)
    assert refusal(core, [2, "1", "DataTransfer", {"vendorId": "x" * 200}])[2] == (
        "FormationViolation"
    )


def test_an_unknown_message_type_is_ignored() -> None:
    """1.6J 4.1.3."""
    assert isinstance(arrive(rpc(), [7, "1", "x", {}]), Dropped)


def test_a_malformed_answer_is_never_answered() -> None:
    assert isinstance(arrive(rpc(), [3, "1"]), Dropped)
    assert isinstance(arrive(rpc(), [4, "1"]), Dropped)


def test_a_call_that_is_being_handled_already_is_refused() -> None:
    """1.6J 4.2.3, second case."""
    core = rpc()
    arrive(core, [2, "1", "ClearCache", {}])
    assert refusal(core, [2, "1", "ClearCache", {}])[2] == "GenericError"


def test_extra_inbound_fields_are_let_through() -> None:
    """1.6J errata 3.2: they should not be there, but they are."""
    payload = {"type": "Soft", "vendorExtra": 1}
    assert arrive(rpc(), [2, "1", "Reset", payload]) == Asked("1", "Reset", payload)


def test_extra_outbound_fields_are_a_bug() -> None:
    core = rpc()
    with pytest.raises(BadOutgoingError):
        core.call("StatusNotification", _status() | {"extra": 1}, 0, 1000)
    assert core.idle


def test_stop_transaction_needs_no_reason() -> None:
    """1.6J errata 2.6."""
    payload = {"meterStop": 1, "timestamp": "2026-01-01T00:00:00Z", "transactionId": 1}
    assert re.search(b"StopTransaction", rpc().call("StopTransaction", payload, 0, 1000))


def test_after_a_lost_connection_nothing_is_outstanding() -> None:
    core = rpc()
    core.call("Heartbeat", {}, 0, 1000)
    arrive(core, [2, "1", "ClearCache", {}])
    lost = core.lost()
    assert lost is not None
    assert isinstance(lost.outcome, Failure)
    assert lost.outcome.kind is FailureKind.LOST
    assert core.idle
    assert core.result("1", {"status": "Rejected"}) is None


def _status() -> dict[str, Any]:
    return {"connectorId": 1, "errorCode": "NoError", "status": "Available"}


def test_a_flood_of_calls_is_refused_beyond_a_bound() -> None:
    core = rpc()
    for number in range(MAX_UNANSWERED):
        assert isinstance(arrive(core, [2, str(number), "ClearCache", {}]), Asked)
    assert refusal(core, [2, "more", "ClearCache", {}])[2] == "GenericError"
    core.result("0", {"status": "Rejected"})
    assert isinstance(arrive(core, [2, "again", "ClearCache", {}]), Asked)
