from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from baywatt_edge.cli.app import app
from baywatt_edge.cli.exits import Exit

EXAMPLE = Path(__file__).parents[2] / "examples" / "harbour" / "site.toml"


def check(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["check", str(path), *arguments])


@pytest.fixture
def changed(tmp_path: Path):
    """The example with one text replaced."""

    def write(old: str, new: str) -> Path:
        text = EXAMPLE.read_text()
        assert old in text
        (tmp_path / "site.toml").write_text(text.replace(old, new, 1))
        return tmp_path / "site.toml"

    return write


def test_the_example_is_ok() -> None:
    result = check(EXAMPLE, "--json")
    assert result.exit_code == Exit.OK
    assert json.loads(result.stdout) == {"ok": True, "problems": []}
    assert "4 connectors, 13 devices" in result.stderr


def test_a_finding_has_exactly_file_line_key_message_fix(changed) -> None:
    path = changed("fail_safe_a = 6", "fail_safe_a = 32")
    result = check(path, "--json")
    assert result.exit_code == Exit.FINDINGS
    document = json.loads(result.stdout)
    assert document["ok"] is False
    first = document["problems"][0]
    assert list(first) == ["file", "line", "key", "message", "fix"]
    assert first["file"] == str(path)
    assert path.read_text().splitlines()[first["line"] - 1] == "fail_safe_a = 32"
    assert first["key"] == "supply.fail_safe_a"
    assert "128 A is above the fuse of 63 A" in first["message"]
    assert first["fix"] == "set fail_safe_a to 15 or less"


def test_for_people_each_problem_is_one_line(changed) -> None:
    result = check(changed('meter = "meter-1"', 'meter = "metre-1"'))
    assert result.exit_code == Exit.FINDINGS
    (line,) = result.stdout.splitlines()
    assert "connectors[1].meter: no device has the id 'metre-1'" in line


def test_an_unknown_profile_is_found_with_near_matches(changed) -> None:
    path = changed('profile = "eastron-sdm630"', 'profile = "eastron-sdm603"')
    result = check(path, "--json")
    assert result.exit_code == Exit.FINDINGS
    (problem,) = json.loads(result.stdout)["problems"]
    assert problem["key"] == "devices[1].profile"
    assert path.read_text().splitlines()[problem["line"] - 1] == 'profile = "eastron-sdm603"'
    assert "eastron-sdm630" in problem["message"]


def test_a_profile_of_ones_own_is_found(changed, tmp_path: Path) -> None:
    shipped = Path(__file__).parents[2] / "edge" / "baywatt_edge" / "profiles"
    own = tmp_path / "profiles"
    own.mkdir()
    text = (shipped / "eastron-sdm630.toml").read_text()
    (own / "my-meter.toml").write_text(text.replace("eastron-sdm630", "my-meter"))
    path = changed('profile = "eastron-sdm630"', 'profile = "my-meter"')
    assert check(path).exit_code == Exit.FINDINGS
    assert check(path, "--profiles", str(own)).exit_code == Exit.OK


@pytest.mark.parametrize("text", ["[site\n", "a = 1\na = 2\n", "\x00"])
def test_a_file_that_is_not_toml_is_code_2(tmp_path: Path, text: str) -> None:
    (tmp_path / "site.toml").write_text(text)
    result = check(tmp_path / "site.toml", "--json")
    assert result.exit_code == Exit.USAGE
    (problem,) = json.loads(result.stdout)["problems"]
    assert problem["message"].startswith("not valid TOML")


def test_a_missing_file_and_a_folder_are_code_2(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.toml", tmp_path):
        result = check(path, "--json")
        assert result.exit_code == Exit.USAGE
        (problem,) = json.loads(result.stdout)["problems"]
        assert problem["message"].startswith("cannot be read")
