"""The command line against a real control socket, served by a thread with its own event loop."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from control_doubles import MemoryHouse, MemoryJournal
from typer.testing import CliRunner, Result

from baywatt_contract.envelope import Event
from baywatt_contract.wishes import Outcome, StartWish, UnlockWish
from baywatt_edge.cli.app import app
from baywatt_edge.cli.exits import CliError, Exit
from baywatt_edge.control import ControlServer


class Served:
    """A daemon's control socket in a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.house = MemoryHouse()
        self.journal = MemoryJournal(120)
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        parts = {
            "csms": {
                "HARBOUR-1": {"state": "online", "version": "1.6", "queue": 3},
                "HARBOUR-2": {"state": "offline", "version": None, "queue": 0},
            },
            "buses": {
                "meters": {
                    "grid": {"up": True, "detail": ""},
                    "meter-2": {"up": False, "detail": "no answer for 12 s"},
                }
            },
            "children": {
                "sync": {"ok": False, "criticality": "money", "last_error": "", "restarts": 3}
            },
        }
        server = ControlServer(self.path, self.house, self.journal, lambda: parts)
        task = asyncio.create_task(server.run(self._up.set))
        await self._stop.wait()
        task.cancel()
        await asyncio.wait([task])

    def start(self) -> None:
        self._thread.start()
        assert self._up.wait(5)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(5)
        assert not self._thread.is_alive()

    def run(self, *arguments: str) -> Result:
        environ = {"BAYWATT_CONTROL_SOCKET": str(self.path), "COLUMNS": "80", "TERM": "dumb"}
        return CliRunner().invoke(app, arguments, env=environ)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    each = Served(tmp_path / "control.sock")
    each.start()
    yield each
    each.stop()


def test_status_json_is_the_daemons_document(served: Served) -> None:
    result = served.run("status", "--json")
    assert result.exit_code == Exit.OK
    document = json.loads(result.stdout)
    assert document["connectors"]["1"]["state"] == "Charging"
    assert result.stderr == ""


def test_status_fits_eighty_columns_and_shows_what_matters(served: Served) -> None:
    screen = served.run("status").stdout
    assert max(len(line) for line in screen.splitlines()) <= 80
    for word in ("harbour", "Charging", "16.1", "11.00", "HARBOUR-1 online", "A1 occupied"):
        assert word in screen
    assert "None" not in screen
    assert "meter-2 on meters is silent: no answer for 12 s" in screen
    assert "grid on" not in screen
    assert "task sync: silent, 3 restarts" in screen


def test_why_is_a_chain(served: Served) -> None:
    screen = served.run("why", "1").stdout
    assert "connector 1  Charging  16.0 A" in screen
    assert "└ fuse: 63 A shared by 2 → 16.0 A" in screen
    assert json.loads(served.run("why", "1", "--json").stdout)["steps"][0]["rule"] == "fuse"


def test_why_of_an_unknown_connector_is_bad_usage(served: Served) -> None:
    error = served.run("why", "9").exception
    assert isinstance(error, CliError)
    assert error.code == Exit.USAGE
    assert str(error) == "no connector has the id 9, one of: 1"


def test_events_json_is_everything_one_envelope_per_line(served: Served) -> None:
    lines = served.run("events", "--json").stdout.splitlines()
    assert [Event.model_validate_json(line).seq for line in lines] == list(range(1, 121))
    lines = served.run("events", "--json", "--after", "100", "--limit", "3").stdout.splitlines()
    assert [json.loads(line)["data"]["id"] for line in lines] == ["c101", "c102", "c103"]


def test_events_for_people_begin_with_the_last_fifty(served: Served) -> None:
    lines = served.run("events").stdout.splitlines()
    assert len(lines) == 50
    assert "CommandDone" in lines[-1]
    assert "id=c120" in lines[-1]


def test_follow_prints_an_event_as_soon_as_it_is_there(served: Served) -> None:
    command = [sys.executable, "-m", "baywatt_edge.cli", "events", "--json", "--follow"]
    environ = {**os.environ, "BAYWATT_CONTROL_SOCKET": str(served.path)}
    arguments = [*command, "--after", "120"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environ) as process:
        assert process.stdout is not None
        served._loop.call_soon_threadsafe(served.journal.append)
        assert json.loads(process.stdout.readline())["data"]["id"] == "c121"
        served._loop.call_soon_threadsafe(served.journal.append)
        assert json.loads(process.stdout.readline())["data"]["id"] == "c122"
        process.terminate()


def test_a_session_is_started_and_stopped(served: Served) -> None:
    result = served.run("session", "start", "1", "--token", "04A1B2C3")
    assert result.stdout == "session start 1 accepted: session s-1\n"
    (wish,) = served.house.wishes
    assert isinstance(wish, StartWish)
    assert (wish.connector_id, wish.token) == (1, "04A1B2C3")
    assert json.loads(served.run("session", "stop", "1", "--json").stdout)["accepted"] is True


def test_a_connector_is_unlocked_enabled_and_disabled(served: Served) -> None:
    for verb in ("unlock", "enable", "disable"):
        assert served.run("connector", verb, "1").exit_code == Exit.OK
    assert isinstance(served.house.wishes[0], UnlockWish)
    assert [wish.operative for wish in served.house.wishes[1:]] == [True, False]  # type: ignore[union-attr]


def test_a_refusal_is_code_4_with_the_reason(served: Served) -> None:
    served.house.outcome = Outcome(False, "connector 1 is faulted: lock-failed")
    result = served.run("session", "start", "1", "--json")
    assert json.loads(result.stdout)["accepted"] is False
    assert isinstance(result.exception, CliError)
    assert result.exception.code == Exit.REFUSED
    assert str(result.exception) == "refused: connector 1 is faulted: lock-failed"


@pytest.mark.parametrize(
    "arguments",
    [
        ["session", "start"],
        ["session", "start", "zero"],
        ["session", "start", "0"],
        ["events", "--after", "-1"],
        ["paint"],
    ],
)
def test_bad_usage_is_code_2(served: Served, arguments: list[str]) -> None:
    assert served.run(*arguments).exit_code == Exit.USAGE


def baywatt(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "baywatt_edge.cli", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environ},
        timeout=30,
        check=False,
    )


def test_no_daemon_is_one_line_naming_socket_and_fix_and_code_3(tmp_path: Path) -> None:
    path = str(tmp_path / "gone.sock")
    result = baywatt("status", "--json", "--control-socket", path)
    assert result.returncode == Exit.UNREACHABLE
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert path in line
    assert "systemctl start baywatt" in line


def test_a_stranger_on_the_socket_is_code_3(tmp_path: Path) -> None:
    path = tmp_path / "stranger.sock"
    script = (
        "import socket,sys;s=socket.socket(socket.AF_UNIX);s.bind(sys.argv[1]);s.listen();"
        "print('up',flush=True);c=s.accept()[0];c.recv(999);c.sendall(b'220 smtp\\r\\n')"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE) as it:
        assert it.stdout is not None
        it.stdout.readline()
        result = baywatt("status", "--control-socket", str(path))
    assert result.returncode == Exit.UNREACHABLE
    assert len(result.stderr.splitlines()) == 1


def test_run_with_a_bad_site_file_is_code_2(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text("[site]\n")
    result = baywatt("run", str(tmp_path / "site.toml"))
    assert result.returncode == Exit.USAGE
    assert "site.toml:1: site.id: field required (add the key)" in result.stderr


def test_help_and_version_import_no_heavy_part() -> None:
    script = (
        "import sys\nfrom baywatt_edge.cli import main\nsys.argv=['baywatt','--version']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([m for m in ('pydantic','asyncio','sqlite3','pymodbus') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    assert result.stdout.splitlines() == ["baywatt 0.1.0", "[]"]
