"""PROTOCOL.md, the code and the golden vectors say the same.

The frames are rebuilt here from the page's tables alone, with a bitwise CRC and the plainest COBS,
so that neither the page nor the vectors can agree with the code by accident.
"""

from __future__ import annotations

import json
import re
from enum import IntEnum, IntFlag
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import baywatt_bridge
from baywatt_bridge import messages, vocabulary
from baywatt_bridge.decoding import decode
from baywatt_bridge.encoding import encode
from baywatt_bridge.framing import MAX_PAYLOAD_BYTES, MAX_STUFFED_BYTES, FrameDecoder, encode_frame
from baywatt_bridge.layout import Layout

PACKAGE = Path(baywatt_bridge.__file__).parent
PAGE = (PACKAGE.parent / "PROTOCOL.md").read_text()
GOLDEN: list[dict[str, Any]] = json.loads((PACKAGE / "golden.json").read_text())
Row = tuple[int, str, str]


def tables() -> dict[str, list[Row]]:
    """Heading -> (offset, type, field) of every message table of the page."""
    found: dict[str, list[Row]] = {}
    for title, body in re.findall(
        r"^#{3,4} ([A-Z_]+)\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL
    ):
        rows = re.findall(r"^\| (\d+) \| (\w+) \| (\w+) \|", body, re.MULTILINE)
        found[title] = [(int(at), kind, name) for at, kind, name in rows]
    return found


def layouts() -> dict[str, Layout]:
    return {name: each for name, each in vars(messages).items() if isinstance(each, Layout)}


def test_the_page_has_a_table_for_every_layout_and_no_other() -> None:
    assert tables().keys() == layouts().keys()
    assert len(tables()) == 14


@pytest.mark.parametrize("name", sorted(layouts()))
def test_tables_and_layouts_have_the_same_fields(name: str) -> None:
    assert tables()[name] == layouts()[name].offsets()


def test_the_kinds_are_those_of_the_page() -> None:
    rows = re.findall(r"^\| (0x[0-9A-F]{2}) \| (host|board) \| (\w+) \|", PAGE, re.MULTILINE)
    assert {name: int(number, 16) for number, _, name in rows} == {
        kind.name: kind.value for kind in vocabulary.Kind
    }
    assert all((int(number, 16) >= 0x80) == (who == "board") for number, who, _ in rows)


NAMED: list[type[IntEnum | IntFlag]] = [
    vocabulary.ChannelKind,
    vocabulary.Lock,
    vocabulary.HostLoss,
    vocabulary.ResetReason,
    vocabulary.SelfTest,
    vocabulary.Result,
    vocabulary.ControlFlag,
    vocabulary.ChannelFlag,
    vocabulary.StateFlag,
    vocabulary.Fault,
]


@pytest.mark.parametrize("kind", NAMED, ids=lambda kind: kind.__name__)
def test_named_numbers_are_those_of_the_page(kind: type[IntEnum | IntFlag]) -> None:
    listed = re.search(
        rf"^- \*\*{kind.__name__}\*\*[^:]*: (.*?)(?=^- |\n\n)", PAGE, re.MULTILINE | re.DOTALL
    )
    assert listed is not None
    numbers = {name: int(value) for value, name in re.findall(r"(\d+) ([A-Z_]+)", listed[1])}
    assert numbers == {each.name: each.value for each in kind}


def test_the_sizes_and_version_of_the_page_are_those_of_the_code() -> None:
    assert f"1 to {MAX_PAYLOAD_BYTES} bytes" in PAGE
    assert f"at most {MAX_STUFFED_BYTES}." in PAGE
    assert f"version {vocabulary.MAJOR}.{vocabulary.MINOR}" in PAGE.splitlines()[0]
    block = messages.ParameterBlock()
    for name in ("fail_safe_ma", "host_loss_ms", "host_loss_open_ms"):
        row = re.search(rf"\| {name} \| .*as delivered ([\d,]+)", PAGE)
        assert row is not None
        assert int(row[1].replace(",", "")) == getattr(block, name)


# --- the golden vectors, rebuilt from the page ----------------------------------------------


def plain_crc(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def plain_cobs(data: bytes) -> bytes:
    """Each zero is replaced by the distance to the next; short frames need no more."""
    assert len(data) < 254
    out = bytearray([0, *data, 0])
    zeros = [at for at, byte in enumerate(out) if byte == 0]
    for at, following in pairwise(zeros):
        out[at] = following - at
    return bytes(out[:-1])


def plain_fields(table: list[Row], values: dict[str, Any]) -> bytes:
    out = b""
    for at, kind, name in table:
        assert len(out) == at
        size = int(kind.removeprefix("bytes")) if kind.startswith("bytes") else int(kind[1:]) // 8
        value = values.get(name, 0)
        if isinstance(value, int):
            out += value.to_bytes(size, "little")
        else:
            raw = bytes.fromhex(value[4:]) if value.startswith("hex:") else value.encode()
            out += raw.ljust(size, b"\x00")
    return out


@pytest.mark.parametrize("vector", GOLDEN, ids=lambda vector: vector["name"])
def test_golden_vectors_follow_from_the_page(vector: dict[str, Any]) -> None:
    name = vector["message"]
    body = plain_fields(tables()[name], vector["fields"])
    for entry in vector.get("entries", []):
        body += plain_fields(tables()[f"{name}_CHANNEL"], entry)
    payload = bytes([vocabulary.Kind[name]]) + body
    assert payload.hex() == vector["payload"]
    stuffed = plain_cobs(payload + plain_crc(payload).to_bytes(4, "little"))
    assert (b"\x00" + stuffed + b"\x00").hex() == vector["frame"]


@pytest.mark.parametrize("vector", GOLDEN, ids=lambda vector: vector["name"])
def test_golden_vectors_are_what_the_code_speaks(vector: dict[str, Any]) -> None:
    frame = bytes.fromhex(vector["frame"])
    (payload,) = FrameDecoder().feed(frame)
    message = decode(payload)
    assert message is not None
    assert type(message).__name__.upper() == vector["message"].replace("_", "")
    assert encode(message).hex() == vector["payload"]
    assert encode_frame(encode(message)) == frame
    for name, value in vector["fields"].items():
        if isinstance(value, int) and hasattr(message, name):
            assert getattr(message, name) == value


def test_every_kind_has_a_golden_vector() -> None:
    assert {vector["message"] for vector in GOLDEN} == {kind.name for kind in vocabulary.Kind}


def test_the_check_value_of_the_crc() -> None:
    assert plain_crc(b"123456789") == 0xCBF43926
