from __future__ import annotations

import contextlib
import json
import zlib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from baywatt_contract.clock import ClockQuality, format_utc_ms, parse_utc_ms
from baywatt_contract.envelope import (
    MAX_EVENTS,
    MAX_INFLATED_BYTES,
    MAX_WIRE_BYTES,
    BadPayloadError,
    Event,
    pack,
    pack_events,
    unpack,
    unpack_events,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=40)


def event(seq: int = 7, **changes: Any) -> Event:
    fields: dict[str, Any] = {
        "id": f"harbour:e1:{seq}",
        "type": "SessionEnded",
        "time": "2026-11-22T17:00:00.000Z",
        "mono_ms": 1,
        "boot": 4,
        "clock": ClockQuality.SYNCED,
        "data": {"session": "s-1"},
    }
    return Event(**{**fields, **changes})


@given(JSON)
def test_json_survives_the_wire(value: Any) -> None:
    assert unpack(pack(value)) == value


def test_the_first_byte_tells_json_from_deflated_json() -> None:
    assert pack([1])[:1] == b"["
    long = pack(["a" * 2000])
    assert long[:1] == b"\x78"
    assert unpack(long) == ["a" * 2000]


@given(NAMES, NAMES, st.integers(0, 2**63))
def test_an_id_says_site_epoch_and_seq(site: str, epoch: str, seq: int) -> None:
    one = event(id=f"{site}:{epoch}:{seq}")
    assert (one.site, one.epoch, one.seq) == (site, epoch, seq)


@given(st.lists(st.integers(0, 10**9), max_size=20))
def test_a_batch_survives_the_wire(seqs: list[int]) -> None:
    events = [event(seq) for seq in seqs]
    assert unpack_events(pack_events(events)) == events


def test_fields_of_a_newer_writer_are_ignored() -> None:
    newer = {**event().model_dump(mode="json"), "colour": "red"}
    assert unpack_events(pack([newer])) == [event()]


@given(st.binary(max_size=300))
@example(b"")
@example(b"\x78")
@example(b"[" * 300)
@example(b"\xff\xfe")
@example(b"NaN")
def test_garbage_is_only_ever_a_bad_payload(payload: bytes) -> None:
    with contextlib.suppress(BadPayloadError):
        unpack_events(payload)
        assert payload[:1] in {b"[", b"\x78", b" ", b"\n", b"\r", b"\t"}


@given(st.binary(min_size=1, max_size=40), st.integers(0, 2000))
def test_a_damaged_deflated_batch_is_a_bad_payload_or_the_same(noise: bytes, at: int) -> None:
    good = pack_events([event(seq) for seq in range(40)])
    at %= len(good)
    damaged = good[:at] + noise + good[at + len(noise) :]
    try:
        assert unpack_events(damaged) == unpack_events(good)
    except BadPayloadError:
        assert damaged != good


def test_a_deflate_bomb_stops_at_the_limit() -> None:
    bomb = zlib.compress(b'["' + b"a" * (20 * MAX_INFLATED_BYTES) + b'"]', 9)
    assert len(bomb) < MAX_WIRE_BYTES
    with pytest.raises(BadPayloadError, match="inflates past"):
        unpack(bomb)


def test_exactly_the_largest_inflated_payload_is_read() -> None:
    body = b'["' + b"a" * (MAX_INFLATED_BYTES - 4) + b'"]'
    assert len(body) == MAX_INFLATED_BYTES
    assert unpack(zlib.compress(body, 9)) == json.loads(body)


def test_a_payload_cut_short_is_bad() -> None:
    with pytest.raises(BadPayloadError, match="cut short"):
        unpack(pack(["a" * 2000])[:-6])


@pytest.mark.parametrize("body", [b"[NaN]", b"[-Infinity]", b"[1e999]", b'["\\ud800"]'])
def test_what_only_python_reads_is_no_json(body: bytes) -> None:
    with pytest.raises(BadPayloadError):
        unpack(body)


def test_escaped_surrogate_pairs_are_json() -> None:
    assert unpack(b'["\\ud83d\\ude97"]') == ["\U0001f697"]


def test_more_than_the_wire_allows_is_bad_unread() -> None:
    with pytest.raises(BadPayloadError, match="at most 65536"):
        unpack(b"[" + b" " * MAX_WIRE_BYTES)


def test_more_events_than_a_batch_may_hold_are_bad() -> None:
    one = event().model_dump(mode="json")
    assert len(unpack_events(pack([one] * MAX_EVENTS))) == MAX_EVENTS
    with pytest.raises(BadPayloadError):
        unpack_events(pack([one] * (MAX_EVENTS + 1)))


@pytest.mark.parametrize(
    "change",
    [{"id": "harbour:7"}, {"id": "a:b:c"}, {"boot": -1}, {"clock": "rough"}, {"v": 0}, {"data": 1}],
)
def test_an_event_out_of_bounds_is_bad(change: dict[str, Any]) -> None:
    with pytest.raises(BadPayloadError):
        unpack_events(pack([{**event().model_dump(mode="json"), **change}]))


@given(st.integers(-(10**13), 10**14))
def test_stamps_survive_as_text_to_the_millisecond(utc_ms: int) -> None:
    text = format_utc_ms(utc_ms)
    assert text.endswith("Z")
    assert parse_utc_ms(text) == utc_ms


@pytest.mark.parametrize(
    ("text", "utc_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00", 0),
        ("2024-02-29T12:00:00.1234567Z", 1_709_208_000_123),
    ],
)
def test_stamps_of_others_are_read(text: str, utc_ms: int) -> None:
    assert parse_utc_ms(text) == utc_ms


@pytest.mark.parametrize("text", ["", "yesterday", "2024-13-01T00:00:00Z", "\x00"])
def test_a_stamp_that_is_none_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_utc_ms(text)
