from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baywatt_contract.site_file import SiteFile
from baywatt_contract.site_load import (
    BadSiteFileError,
    Problem,
    load_site_file,
    parse_site_file,
)
from baywatt_contract.site_rules import Finding

EXAMPLE = Path(__file__).parents[2] / "examples" / "harbour" / "site.toml"
TEXT = EXAMPLE.read_text(encoding="utf-8")


def problems(text: str) -> list[Problem]:
    with pytest.raises(BadSiteFileError) as caught:
        parse_site_file(text, "site.toml")
    assert caught.value.problems
    for each in caught.value.problems:
        assert each.file == "site.toml"
        assert 1 <= each.line <= max(1, len(text.splitlines()))
        assert each.message
        assert each.fix
        assert "\n" not in str(each)
    return caught.value.problems


def changed(old: str, new: str) -> str:
    assert old in TEXT
    return TEXT.replace(old, new, 1)


def without(line: str) -> str:
    return changed(f"{line}\n", "")


def test_the_example_loads() -> None:
    site = load_site_file(EXAMPLE)
    assert site.site.id == "harbour"
    assert [each.id for each in site.connectors] == [1, 2, 3, 4]
    assert site.connector(4).is_dc
    assert not site.connector(1).is_dc
    assert site.device("wallbox").bus == "wallbox-line"
    bay = site.connector_of_bay("A3")
    assert bay is not None
    assert bay.id == 3
    assert site.connector_of_bay("Z9") is None
    with pytest.raises(KeyError):
        site.connector(9)


def test_the_example_of_the_documentation_loads_with_every_key() -> None:
    text = """
[site]
id = "harbour"
name = "Harbour Street"
time_zone = "Europe/Berlin"
latitude = 53.5461
longitude = 9.9661
currency = "EUR"
[supply]
fuse_a = 63
phases = 3
meter = "grid"
fail_safe_a = 6
[storage]
path = "/var/lib/baywatt"
[cloud]
url = "mqtts://mqtt.example.org:8883"
username = "harbour"
password = "cred:cloud"
[authority]
authorise = "any"
reserve = "cloud"
bill = "cloud"
[[stations]]
id = "HARBOUR-1"
csms = "wss://csms.example.org/ocpp"
csms_password = "cred:csms"
versions = ["2.0.1", "1.6"]
security_profile = 2
[[buses]]
id = "rs485"
kind = "modbus-rtu"
port = "run/rs485"
baudrate = 19200
parity = "E"
gap_ms = 5
timeout_ms = 250
[[devices]]
id = "grid"
bus = "rs485"
profile = "eastron-sdm630"
unit = 1
[[devices]]
id = "board-1"
bus = "rs485"
profile = "baywatt-board"
unit = 2
[[connectors]]
id = 1
station = "HARBOUR-1"
evse = 1
plug = "type2-socket"
control = "board-1"
control_channel = 1
meter = "grid"
max_a = 32
phases = [1, 2, 3]
bay = "A1"
v2g = { interface = "eth1", protocols = ["din", "iso-2", "iso-20"] }
[[bays]]
id = "A1"
"""
    site = parse_site_file(text, "site.toml")
    assert site.stations[0].security_profile == 2
    assert site.connectors[0].v2g is not None
    assert site.connectors[0].v2g.interface == "eth1"


@pytest.mark.parametrize(
    ("text", "key", "at", "message"),
    [
        (without('name = "Harbour Street"'), "site.name", "[site]", "field required"),
        (changed("fuse_a = 63", "fuse_a = 5"), "supply.fuse_a", "fuse_a = 5", "not 5"),
        (changed("fuse_a = 63", 'fuse_a = "63 A"'), "supply.fuse_a", 'fuse_a = "63 A"', "integer"),
        (changed("fuse_a = 63", "fuze_a = 63"), "supply.fuze_a", "fuze_a = 63", "extra"),
        (changed('"EUR"', '"Euro"'), "site.currency", 'currency = "Euro"', "'Euro'"),
        (changed('"any"', '"all"'), "authority.authorise", 'authorise = "all"', "'all'"),
        (
            changed('kind = "serial"', 'kind = "seriell"'),
            "buses[3].kind",
            'kind = "seriell"',
            "'seriell'",
        ),
        (
            changed('"Europe/Berlin"', '"Europe/Atlantis"'),
            "site.time_zone",
            'time_zone = "Europe/Atlantis"',
            "'Europe/Atlantis' is not known",
        ),
        (
            changed('id = "meter-2"', 'id = "meter-1"'),
            "devices[3].id",
            'id = "meter-1"',
            "stands twice",
        ),
        (
            changed('meter = "grid"', 'meter = "grid-9"'),
            "supply.meter",
            'meter = "grid-9"',
            "no device has the id 'grid-9'",
        ),
        (
            changed("fail_safe_a = 6", "fail_safe_a = 16"),
            "supply.fail_safe_a",
            "fail_safe_a = 16",
            "64 A is above the fuse of 63 A",
        ),
        (changed("unit = 12", "unit = 11"), "devices[3].unit", "unit = 11", "stands twice"),
        (
            changed("control_channel = 2", "control_channel = 1"),
            "connectors[2].control_channel",
            "control_channel = 1",
            "channel 1 of 'board-1' stands twice",
        ),
        (
            changed("phases = [2, 3, 1]", "phases = [2, 3, 2]"),
            "connectors[2].phases",
            "phases = [2, 3, 2]",
            "twice",
        ),
        (
            changed("phases = 3\n", "phases = 1\n"),
            "connectors[1].phases",
            "phases = [1, 2, 3]",
            "uses L2, the supply has 1",
        ),
        (
            changed('port = "run/wallbox"', 'port = "run/meters"'),
            "buses[2].port",
            'port = "run/meters"',
            "two buses use 'run/meters'",
        ),
        (without("tcp_port = 15020"), "buses[5].kind", 'kind = "modbus-tcp"', "has no tcp_port"),
        (changed("evse = 2", "evse = 1"), "connectors[2].evse", "evse = 1", "stands twice"),
    ],
)
def test_a_mistake_names_line_key_and_fix(text: str, key: str, at: str, message: str) -> None:
    found = problems(text)
    problem = next(each for each in found if each.key == key)
    assert text.splitlines()[problem.line - 1].strip() == at
    assert message in problem.message.lower() or message in problem.message


def test_all_mistakes_are_told_at_once() -> None:
    text = changed('meter = "grid"', 'meter = "x"').replace('bay = "A2"', 'bay = "B2"')
    assert {each.key for each in problems(text)} == {"supply.meter", "connectors[2].bay"}


def test_inline_and_dotted_spellings_still_get_a_line() -> None:
    text = TEXT.split("[site]", maxsplit=1)[0] + TEXT[TEXT.index("[supply]") :]
    head = 'site = { id = "Harbour", name = "x", time_zone = "UTC", currency = "EUR" }\n'
    found = problems(head + text)
    assert {each.key for each in found} == {"site.id", "site.latitude", "site.longitude"}
    assert {each.line for each in found} == {1}


@pytest.mark.parametrize(
    ("text", "line"),
    [("[site]\nid = \n", 2), ("[site\n", 1), ("a = 1\na = 2\n", 2), ("x = '''\n\n", 2)],
)
def test_what_is_no_toml_names_its_line(text: str, line: int) -> None:
    (problem,) = problems(text)
    assert problem.line == line
    assert problem.message.startswith("not valid TOML: ")


def test_an_empty_file_lists_the_tables_that_are_missing() -> None:
    assert {each.key for each in problems("")} == {"site", "supply", "stations"}


@pytest.mark.parametrize("make", ["missing", "folder", "latin-1"])
def test_a_file_that_cannot_be_read_is_one_problem(tmp_path: Path, make: str) -> None:
    path = tmp_path / "site.toml"
    if make == "folder":
        path.mkdir()
    elif make == "latin-1":
        path.write_bytes(b'name = "H\xe4fen"')
    with pytest.raises(BadSiteFileError) as caught:
        load_site_file(path)
    (problem,) = caught.value.problems
    assert problem.file == str(path)
    assert problem.message.startswith("cannot be read: ")


def test_extra_rules_are_asked_and_placed() -> None:
    rule = lambda site: iter([Finding(("devices", 0, "profile"), "too old", "take a new one")])  # noqa: E731
    with pytest.raises(BadSiteFileError) as caught:
        parse_site_file(TEXT, "site.toml", [rule])
    (problem,) = caught.value.problems
    assert problem.key == "devices[1].profile"
    assert TEXT.splitlines()[problem.line - 1] == 'profile = "eastron-sdm630"'


def lines_of(text: str) -> list[str]:
    return text.splitlines(keepends=True)


@settings(max_examples=150)
@given(st.data())
def test_any_damage_is_a_list_of_problems_or_a_valid_site(data: st.DataObject) -> None:
    lines = lines_of(TEXT)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        new = data.draw(
            st.sampled_from(["", "\n", "x = 1\n", "[[connectors]]\n", "[site]\n", "id = 7\n"])
            | st.text(max_size=20)
        )
        lines[at] = new
    text = "".join(lines)
    try:
        site = parse_site_file(text, "site.toml")
    except BadSiteFileError as error:
        found = error.problems
    else:
        assert isinstance(site, SiteFile)
        assert tomllib.loads(text)
        return
    assert found
    assert all(each.line >= 1 and each.message and each.fix for each in found)


@given(st.text(max_size=200))
def test_any_text_is_judged_without_a_crash(text: str) -> None:
    with pytest.raises(BadSiteFileError):
        parse_site_file(text, "site.toml")


def test_a_secret_never_stands_in_a_message() -> None:
    text = changed('password = "cred:cloud"', "password = 12345678")
    (problem,) = problems(text)
    assert problem.key == "cloud.password"
    assert "12345678" not in str(problem)
