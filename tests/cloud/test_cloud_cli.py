"""`baywatt-cloud` as a person types it, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from baywatt_cloud.cli import app
from baywatt_cloud.kit.settings import BadSettingError, Settings


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/cloud.db"


def invoke(url: str, *words: str, stdin: str = "", **env: str) -> Any:
    return CliRunner().invoke(
        app, list(words), input=stdin, env={"BAYWATT_DATABASE_URL": url, **env}
    )


def test_site_add_prints_credentials_and_migrates_by_itself(url: str) -> None:
    first = invoke(url, "site", "add", "harbour", "--json")
    assert first.exit_code == 0, first.output
    made = json.loads(first.stdout)
    assert (made["site"], made["username"], len(made["password"])) == ("harbour", "harbour", 32)
    again = json.loads(invoke(url, "site", "add", "harbour", "--json").stdout)
    assert again["password"] != made["password"]


def test_user_add_takes_the_password_from_stdin(url: str) -> None:
    words = ["user", "add", "op@example.org", "--role", "operator", "--password-stdin", "--json"]
    made = json.loads(invoke(url, *words, stdin="long enough\n").stdout)
    assert (made["email"], made["role"]) == ("op@example.org", "operator")


@pytest.mark.parametrize(
    ("words", "stdin", "code", "line"),
    [
        (["site", "add", "No Good"], "", 2, "lower-case letters"),
        (["user", "add", "x", "--password-stdin"], "long enough", 2, "no e-mail address"),
        (["user", "add", "a@b.c", "--password-stdin"], "short", 2, "8 to 200 characters"),
        (["ingest"], "", 2, "set BAYWATT_MQTT_URL"),
    ],
)
def test_mistakes_get_one_clear_line(
    url: str, words: list[str], stdin: str, code: int, line: str
) -> None:
    result = invoke(url, *words, stdin=stdin)
    assert result.exit_code == code
    assert line in result.stderr
    assert result.stdout == ""


def test_an_unreachable_database_is_exit_3(tmp_path: Path) -> None:
    for url in ("postgresql://x@127.0.0.1:1/x", f"sqlite:///{tmp_path}/no/such/folder/x.db"):
        result = invoke(url, "migrate")
        assert (result.exit_code, result.stderr.count("\n")) == (3, 1)
        assert "BAYWATT_DATABASE_URL" in result.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BAYWATT_DATABASE_URL", "mysql://x"),
        ("BAYWATT_MQTT_URL", "http://x"),
        ("BAYWATT_PAYMENT", "cash"),
    ],
)
def test_a_setting_that_does_not_fit_names_itself(name: str, value: str) -> None:
    with pytest.raises(BadSettingError, match=name):
        Settings.from_env({name: value})


def test_serve_answers_and_ends_on_a_signal(url: str) -> None:
    env = os.environ | {"BAYWATT_DATABASE_URL": url}
    env["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    words = [sys.executable, "-m", "baywatt_cloud", "serve", "--port", "0"]
    with subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            answer = httpx.get(f"http://127.0.0.1:{_port(process)}/health/ready", timeout=30)
            assert answer.json()["status"] == "ok"
        finally:
            process.terminate()
        assert process.stderr is not None
        process.stderr.read()
        assert process.wait(20) in (0, -15)


def _port(process: subprocess.Popen[str]) -> int:
    """The port that uvicorn says it is running on (the suite's time-out bounds the wait)."""
    assert process.stderr is not None
    marker = "running on http://127.0.0.1:"
    seen = ""
    for line in process.stderr:
        seen += line
        if marker in line:
            return int(line.partition(marker)[2].split()[0])
    raise AssertionError(seen)
