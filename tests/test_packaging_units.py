"""Units and package recipe agree with each other and with the program; the package itself is
built and tried by `make deb-test`."""

from __future__ import annotations

import configparser
import re
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from baywatt_edge.cli.app import app
from baywatt_edge.cli.exits import Exit
from baywatt_edge.cli.options import DEFAULT_SITE, DEFAULT_SOCKET

ROOT = Path(__file__).parents[1]
UNITS = sorted((ROOT / "systemd").glob("*.service"))


def unit(path: Path) -> configparser.RawConfigParser:
    # A key may stand several times, the last one counts here; none that is tested does.
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path)
    return parser


def test_there_is_a_unit_for_the_daemon_and_one_for_the_cloud() -> None:
    assert [path.name for path in UNITS] == ["baywatt-cloud.service", "baywatt.service"]


def test_the_daemons_unit_starts_what_the_package_installs() -> None:
    service = unit(ROOT / "systemd" / "baywatt.service")["Service"]
    program, command, site, *options = service["ExecStart"].split()
    recipe = (ROOT / "packaging" / "build_deb.py").read_text()
    assert f'PREFIX = Path("{Path(program).parents[1]}")' in recipe
    assert (command, site) == ("run", str(DEFAULT_SITE))
    given = dict(zip(options[::2], options[1::2], strict=True))
    assert given["--control-socket"] == str(DEFAULT_SOCKET)
    assert given["--data"] == f"/var/lib/{service['StateDirectory']}"
    # Every option is one that the command knows.
    known = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200"}).stdout
    assert all(option in known for option in given)


def test_systemd_restarts_all_but_what_a_restart_cannot_cure() -> None:
    service = unit(ROOT / "systemd" / "baywatt.service")["Service"]
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) > 0
    assert service["Restart"] == "always"
    prevented = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert prevented == {Exit.USAGE, Exit.DATABASE_NEWER}


def test_the_unit_runs_as_the_user_that_sysusers_and_package_make() -> None:
    user = unit(ROOT / "systemd" / "baywatt.service")["Service"]["User"]
    sysusers = (ROOT / "systemd" / "sysusers.d" / "baywatt.conf").read_text()
    postinst = (ROOT / "packaging" / "debian" / "postinst").read_text()
    assert re.search(rf"^u {user} ", sysusers, re.MULTILINE)
    assert re.search(rf"^m {user} dialout$", sysusers, re.MULTILINE)
    assert f"adduser --quiet {user} dialout" in postinst


def test_no_secret_is_looked_for_where_everybody_may_read() -> None:
    tmpfiles = (ROOT / "systemd" / "tmpfiles.d" / "baywatt.conf").read_text()
    assert "d /etc/baywatt/credentials 0750 root baywatt" in tmpfiles


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_the_exposure_of_a_unit_is_at_most_1_5(path: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", path],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout.splitlines()[-1] + done.stderr


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_understands_every_line_of_a_unit(path: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", path],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if path.name in line]
    assert [line for line in said if "is not executable" not in line] == []


@pytest.mark.parametrize(
    "path",
    [ROOT / "packaging" / "test_deb.sh", *sorted((ROOT / "packaging" / "debian").glob("p*"))],
    ids=lambda path: path.name,
)
def test_a_shell_script_parses_and_stops_at_errors(path: Path) -> None:
    subprocess.run(["sh", "-n", path], check=True, timeout=10)
    assert re.search(r"^set -eu?$", path.read_text(), re.MULTILINE)
