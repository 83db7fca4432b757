"""The control server on a real Unix socket, with a house and a journal held in memory."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from control_doubles import MemoryHouse, MemoryJournal

from baywatt_contract.envelope import Event
from baywatt_contract.events import Authority, StartSource
from baywatt_contract.wishes import (
    AvailabilityWish,
    Outcome,
    StartWish,
    StopWish,
    UnlockWish,
    Wish,
)
from baywatt_edge.control import ControlServer, ControlSocketError, socket_file
from baywatt_edge.control.http import MAX_BODY_BYTES, MAX_HEAD_BYTES, Limits

LIMITS = Limits(request_s=0.3, answer_s=0.3, drain_s=0.3)


class Bench:
    """A served socket and what stands behind it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.house = MemoryHouse()
        self.journal = MemoryJournal()
        self.parts: dict[str, Any] = {"cloud": {"state": "online", "unacked": 7}}
        self.server = ControlServer(path, self.house, self.journal, lambda: self.parts, LIMITS)
        self.beats = 0

    def beat(self) -> None:
        self.beats += 1

    async def raw(self, request: bytes) -> bytes:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_unix_connection(str(self.path))
            try:
                writer.write(request)
                return await reader.read()
            finally:
                writer.close()

    async def ask(self, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
        head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        answer = await self.raw(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        first, _, rest = answer.partition(b"\r\n\r\n")
        status = int(first.split()[1])
        return status, _unchunked(rest) if b"chunked" in first else rest

    async def json(self, method: str, target: str, body: bytes = b"") -> tuple[int, Any]:
        status, answer = await self.ask(method, target, body)
        return status, json.loads(answer)


def _unchunked(body: bytes) -> bytes:
    out = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        out, body = out + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return out


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    each = Bench(tmp_path / "control.sock")
    task = asyncio.create_task(each.server.run(each.beat))
    async with asyncio.timeout(5):
        while not each.beats:
            await asyncio.sleep(0.002)
    yield each
    task.cancel()
    await asyncio.wait([task])
    assert not each.path.exists()


async def test_status_has_the_documented_keys(bench: Bench) -> None:
    bench.parts["csms"] = {"HARBOUR-1": {"state": "online", "version": "1.6", "queue": 0}}
    status, document = await bench.json("GET", "/status")
    assert status == 200
    assert set(document) >= {
        "site", "boot", "clock", "csms", "cloud", "connectors", "bays", "buses", "supply",
    }  # fmt: skip
    one = document["connectors"]["1"]
    assert one["state"] == "Charging"
    assert one["session"] == "s-1"
    assert one["energy_wh"] == 1234
    assert one["power_w"] == 11_000
    assert one["current_ma"] == [16_000, 15_900, 16_100]
    assert one["limit_ma"] == 16_000
    assert one["reason"] == "fuse shared by 2"
    assert document["boot"] == 4
    assert document["cloud"] == {"state": "online", "unacked": 7}
    assert document["csms"]["HARBOUR-1"]["queue"] == 0


async def test_why_lists_the_rules_and_names_unknown_connectors(bench: Bench) -> None:
    status, document = await bench.json("GET", "/why/1")
    assert status == 200
    assert document["steps"][0]["rule"] == "fuse"
    assert document["steps"][0]["since"] == "2025-11-22T08:26:40.123Z"
    status, document = await bench.json("GET", "/why/9")
    assert (status, document["error"]) == (404, "no connector has the id 9, one of: 1")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "session/start",
            StartWish("w1", 1, "INSTALLER", StartSource.CONTROL, Authority.LOCAL),
        ),
        ("connector/unlock", UnlockWish("w1", 1)),
        ("connector/enable", AvailabilityWish("w1", 1, True, "installer")),
        ("connector/disable", AvailabilityWish("w1", 1, False, "installer")),
    ],
)
async def test_a_post_becomes_the_wish(bench: Bench, path: str, expected: Wish) -> None:
    body = b'{"connector": 1, "wish_id": "w1"}'
    status, document = await bench.json("POST", f"/wish/{path}", body)
    assert status == 200
    assert document == {"accepted": True, "reason": "", "session": "s-1", "connector": 1}
    assert bench.house.wishes == [expected]


async def test_stop_names_the_connector(bench: Bench) -> None:
    await bench.json("POST", "/wish/session/stop", b'{"connector": 1}')
    (wish,) = bench.house.wishes
    assert isinstance(wish, StopWish)
    assert wish.connector_id == 1
    assert wish.wish_id.startswith("control-")


async def test_a_refused_wish_is_409_with_the_reason(bench: Bench) -> None:
    bench.house.outcome = Outcome(False, "connector 1 is faulted: lock-failed")
    status, document = await bench.json("POST", "/wish/session/start", b'{"connector": 1}')
    assert status == 409
    assert document["reason"] == "connector 1 is faulted: lock-failed"


async def test_a_wish_that_nobody_answers_times_out(bench: Bench) -> None:
    bench.house.hang = True
    status, document = await bench.json("POST", "/wish/session/start", b'{"connector": 1}')
    assert (status, document) == (504, {"error": "no answer within 0.3 s"})


@pytest.mark.parametrize(
    ("method", "target", "body", "status"),
    [
        ("GET", "/nowhere", b"", 404),
        ("POST", "/status", b"", 405),
        ("GET", "/wish/session/start", b"", 405),
        ("POST", "/wish/session/burn", b'{"connector": 1}', 404),
        ("POST", "/wish/session/start", b"", 400),
        ("POST", "/wish/session/start", b"{", 400),
        ("POST", "/wish/session/start", b'{"connector": -1}', 400),
        ("POST", "/wish/session/start", b'{"connector": 1, "token": "a b"}', 400),
        ("POST", "/wish/session/start", b'{"connector": 1, "amps": 99}', 400),
        ("POST", "/wish/session/start", b"x" * (MAX_BODY_BYTES + 1), 413),
        ("GET", "/events?after=x", b"", 400),
        ("GET", "/events?after=-1", b"", 400),
        ("GET", "/events?colour=red", b"", 400),
        ("GET", "/events?" + "&".join(f"a{i}=1" for i in range(99)), b"", 400),
        ("GET", "/" + "x" * 2 * MAX_HEAD_BYTES, b"", 431),
        ("GET", "//[", b"", 400),
    ],
)
async def test_bad_requests_get_one_clear_line(
    bench: Bench, method: str, target: str, body: bytes, status: int
) -> None:
    got, document = await bench.json(method, target, body)
    assert got == status
    assert set(document) == {"error"}
    assert "\n" not in document["error"]
    assert not bench.house.wishes


async def test_events_are_envelopes_in_order_over_several_pages(bench: Bench) -> None:
    for _ in range(450):
        bench.journal.append()
    _, body = await bench.ask("GET", "/events?after=10")
    events = [Event.model_validate_json(line) for line in body.splitlines()]
    assert [event.seq for event in events] == list(range(11, 451))
    assert events[0].id == "harbour:e1:11"


async def test_events_limit_and_tail(bench: Bench) -> None:
    for _ in range(20):
        bench.journal.append()
    _, body = await bench.ask("GET", "/events?limit=3")
    assert [json.loads(line)["data"]["id"] for line in body.splitlines()] == ["c1", "c2", "c3"]
    _, body = await bench.ask("GET", "/events?tail=2")
    assert [json.loads(line)["data"]["id"] for line in body.splitlines()] == ["c19", "c20"]
    assert (await bench.ask("GET", "/events?stream=telemetry"))[1] == b""


async def test_follow_delivers_what_comes_later(bench: Bench) -> None:
    bench.journal.append()
    _, writer = await asyncio.open_unix_connection(str(bench.path))
    writer.close()
    reader, writer = await asyncio.open_unix_connection(str(bench.path))
    writer.write(b"GET /events?follow HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(5):
        await reader.readuntil(b'"c1"')
        bench.journal.append()
        await reader.readuntil(b'"c2"')
    writer.close()


async def test_two_requests_on_one_connection(bench: Bench) -> None:
    get = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await bench.raw(get + last)
    assert answer.count(b'{"ok": true') == 2


async def test_health_tells_of_a_lost_money_child(bench: Bench) -> None:
    child = {"ok": False, "criticality": "nice", "restarts": 3}
    bench.parts["children"] = {"metrics": child}
    assert (await bench.json("GET", "/health"))[0] == 200
    bench.parts["children"]["ocpp"] = {**child, "criticality": "money"}
    assert await bench.json("GET", "/health") == (503, {"ok": False, "unhealthy": ["ocpp"]})


async def test_metrics_are_prometheus_text(bench: Bench) -> None:
    bench.parts["children"] = {'a"b': {"ok": True, "criticality": "money", "restarts": 2}}
    status, body = await bench.ask("GET", "/metrics")
    lines = body.decode().splitlines()
    assert status == 200
    assert 'baywatt_connector_power_watts{connector="1"} 11000' in lines
    assert 'baywatt_connector_energy_watthours{connector="1"} 7001234' in lines
    assert 'baywatt_supply_current_amperes{phase="1"} 30.0' in lines
    assert "baywatt_cloud_unacked 7" in lines
    assert 'baywatt_child_restarts{child="a\\"b"} 2' in lines


async def test_a_bug_in_a_view_is_500_and_the_server_lives(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(bench.house, "view", lambda: 1 / 0)
        assert (await bench.ask("GET", "/status"))[0] == 500
    assert (await bench.ask("GET", "/status"))[0] == 200


async def test_broken_and_silent_clients_cost_nobody_else(bench: Bench) -> None:
    silent = [await asyncio.open_unix_connection(str(bench.path)) for _ in range(8)]
    deaf_reader, deaf = await asyncio.open_unix_connection(str(bench.path))
    for _ in range(5000):
        bench.journal.append()
    deaf.write(b"GET /events?follow HTTP/1.1\r\nHost: x\r\n\r\n")
    deaf_reader.feed_data(b"x" * 10**6)  # stops reading from the socket
    assert b" 400 " in await bench.raw(b"\x16\x03\x01 garbage\r\n\r\n")
    assert (await bench.json("GET", "/health"))[0] == 200
    async with asyncio.timeout(5):
        for reader, writer in silent:
            assert await reader.read() == b""  # dropped after request_s
            writer.close()
        while bench.server._clients:
            await asyncio.sleep(0.005)
    deaf.close()


async def test_more_than_the_allowed_clients_are_told_503(bench: Bench) -> None:
    crowd = [await asyncio.open_unix_connection(str(bench.path)) for _ in range(32)]
    assert b" 503 " in await bench.raw(b"")
    for _, writer in crowd:
        writer.close()


async def test_the_socket_is_for_owner_and_group_only(bench: Bench) -> None:
    assert stat.S_IMODE(bench.path.stat().st_mode) == 0o660


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "control.sock"
    umask = os.umask(0o022)
    os.umask(umask)
    socket_file.bind(path).close()
    living = socket_file.bind(path)
    with living, pytest.raises(ControlSocketError, match="another daemon is running"):
        socket_file.bind(path)
    assert os.umask(umask) == umask, "the process's umask is as it was"


@pytest.mark.parametrize("path", ["x" * 200, "file", "file/control.sock"])
def test_a_path_that_cannot_be_used_is_one_line(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ControlSocketError, match=r"^control socket ") as caught:
        socket_file.bind(tmp_path / path)
    assert "\n" not in str(caught.value)


def test_the_probe_of_a_live_socket_leaves_it_usable(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket_file.bind(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


async def test_a_path_that_cannot_be_used_is_told_once_and_served_as_soon_as_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG, "baywatt_edge")
    monkeypatch.setattr("baywatt_edge.control.server._BIND_AGAIN_S", 0.01)
    bench = Bench(tmp_path / "file" / "control.sock")
    bench.path.parent.touch()
    task = asyncio.create_task(bench.server.run(bench.beat))
    async with asyncio.timeout(5):
        while bench.beats < 3:
            await asyncio.sleep(0.002)
        bench.path.parent.unlink()
        while not bench.path.exists():
            await asyncio.sleep(0.002)
        assert (await bench.ask("GET", "/health"))[0] == 200
    task.cancel()
    await asyncio.wait([task])
    told = [each for each in caplog.records if "control socket" in each.getMessage()]
    assert [each.levelname for each in told][:2] == ["WARNING", "DEBUG"]
    assert [each.levelname for each in told].count("WARNING") == 1
