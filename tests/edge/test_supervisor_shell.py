"""The shell on a real event loop and a real notify socket; every wait is for a thing, bounded."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from baywatt_contract.house import Beat
from baywatt_edge.supervisor import Criticality, Supervisor, SystemdNotifier
from baywatt_edge.supervisor.policy import RestartPolicy

FAST = RestartPolicy(base_ms=1, cap_ms=60, intensity=3, window_ms=60_000, slow_ms=10_000)


def mono_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class Systemd:
    """The receiving end of sd_notify."""

    def __init__(self, path: Path) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._sock.bind(str(path))
        self.environ = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "40000"}

    def drain(self) -> list[str]:
        lines: list[str] = []
        while True:
            try:
                lines += self._sock.recv(4096).decode().splitlines()
            except BlockingIOError:
                return lines

    async def next(self, wanted: str) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(5):
            while wanted not in (await loop.sock_recv(self._sock, 4096)).decode().splitlines():
                pass

    def close(self) -> None:
        self._sock.close()


@pytest.fixture
async def systemd(tmp_path: Path) -> AsyncIterator[Systemd]:
    receiver = Systemd(tmp_path / "notify")
    yield receiver
    receiver.close()


@asynccontextmanager
async def running(supervisor: Supervisor) -> AsyncIterator[None]:
    task = asyncio.create_task(supervisor.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


async def beating(beat: Beat) -> None:
    while True:
        beat()
        await asyncio.sleep(0.005)


def make(environ: dict[str, str] | None = None) -> Supervisor:
    return Supervisor(mono_ms, random.Random(7), SystemdNotifier(environ or {}), FAST)  # noqa: S311


async def test_a_failing_child_is_restarted_and_its_sibling_is_not() -> None:
    starts = {"bad": 0, "good": 0}

    async def bad(beat: Beat) -> None:
        starts["bad"] += 1
        beat()
        if starts["bad"] < 3:
            raise ConnectionError("no carrier")
        await beating(beat)

    async def good(beat: Beat) -> None:
        starts["good"] += 1
        await beating(beat)

    supervisor = make()
    supervisor.add("bad", bad, Criticality.TELEMETRY, 1)
    supervisor.add("good", good, Criticality.MONEY, 1)
    async with running(supervisor):
        await until(lambda: starts["bad"] == 3)
        assert starts["good"] == 1
        status = supervisor.status()
        assert status["bad"]["restarts"] == 2
        assert status["bad"]["last_error"] == "ConnectionError: no carrier"
        assert status["good"]["ok"]


async def test_a_child_that_returns_is_restarted_too() -> None:
    async def done(beat: Beat) -> None:
        beat()

    supervisor = make()
    supervisor.add("done", done, Criticality.NICE, 1)
    async with running(supervisor):
        await until(lambda: supervisor.status()["done"]["restarts"] >= 1)
        assert supervisor.status()["done"]["last_error"] == "returned"


async def test_a_silent_child_is_cancelled_and_started_again() -> None:
    ended: list[str] = []

    async def hangs(beat: Beat) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    supervisor = make()
    supervisor.add("hangs", hangs, Criticality.NICE, 0.03)
    async with running(supervisor):
        await until(lambda: supervisor.status()["hangs"]["restarts"] >= 2)
        assert ended[:2] == ["cancelled", "cancelled"]
        assert "silent for more than 30 ms" in supervisor.status()["hangs"]["last_error"]


async def test_ready_comes_after_the_first_beat_then_the_watchdog_is_fed(systemd: Systemd) -> None:
    go = asyncio.Event()

    async def money(beat: Beat) -> None:
        await go.wait()
        await beating(beat)

    supervisor = make(systemd.environ)
    supervisor.add("money", money, Criticality.MONEY, 5)
    async with running(supervisor):
        await until(lambda: supervisor.status()["money"]["state"] == "running")
        assert "READY=1" not in systemd.drain()
        go.set()
        await systemd.next("READY=1")
        await systemd.next("WATCHDOG=1")
        await systemd.next("WATCHDOG=1")
    assert "STOPPING=1" in systemd.drain()


async def test_a_safety_child_that_cannot_be_kept_up_starves_the_watchdog(
    systemd: Systemd, caplog: pytest.LogCaptureFixture
) -> None:
    broken = asyncio.Event()

    async def board(beat: Beat) -> None:
        if broken.is_set():
            raise OSError("port vanished")
        beat()
        await broken.wait()

    supervisor = make(systemd.environ)
    supervisor.add("board", board, Criticality.SAFETY, 60)
    supervisor.add("sync", beating, Criticality.MONEY, 60)
    async with running(supervisor):
        await systemd.next("WATCHDOG=1")
        broken.set()
        await systemd.next("STATUS=withholding the watchdog for board")
        systemd.drain()
        await until(lambda: supervisor.status()["board"]["restarts"] > 6)
        assert "WATCHDOG=1" not in systemd.drain()
        assert supervisor.status()["sync"]["ok"]
    errors = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert len([each for each in errors if "ended" in each.getMessage()]) <= 2, "no log flood"


async def test_safety_is_stopped_last() -> None:
    order: list[str] = []

    def child(name: str) -> Callable[[Beat], object]:
        async def body(beat: Beat) -> None:
            beat()
            try:
                await asyncio.Event().wait()
            finally:
                order.append(name)

        return body

    supervisor = make()
    for name in ("safety", "money", "telemetry", "nice"):
        supervisor.add(name, child(name), Criticality(name), 60)  # type: ignore[arg-type]
    async with running(supervisor):
        await until(lambda: all(e["beat_age_ms"] >= 0 for e in supervisor.status().values()))
        await until(lambda: all(e["state"] == "running" for e in supervisor.status().values()))
    assert order == ["nice", "telemetry", "money", "safety"]


async def test_two_children_of_one_name_are_refused() -> None:
    supervisor = make()
    supervisor.add("sync", beating, Criticality.MONEY, 1)
    with pytest.raises(ValueError, match="'sync' is already supervised"):
        supervisor.add("sync", beating, Criticality.MONEY, 1)


def test_without_systemd_nothing_is_sent_and_nothing_fails() -> None:
    notifier = SystemdNotifier({})
    notifier.send("READY=1")
    assert notifier.watchdog_ms is None


def test_a_vanished_notify_socket_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notifier = SystemdNotifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    notifier.send("READY=1")
    notifier.send("WATCHDOG=1")
    warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert [each.getMessage().split(":")[0] for each in warnings] == [
        "systemd cannot be told 'READY=1'"
    ]


async def test_an_abstract_socket_address_is_understood() -> None:
    name = "\0baywatt-test-notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as receiver:
        receiver.bind(name)
        SystemdNotifier({"NOTIFY_SOCKET": "@baywatt-test-notify"}).send("READY=1", "STATUS=a\nb")
        assert receiver.recv(100) == b"READY=1\nSTATUS=a b"


def test_the_watchdog_of_another_process_is_not_ours() -> None:
    assert SystemdNotifier({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).watchdog_ms is None
    assert SystemdNotifier({"WATCHDOG_USEC": "1000000"}).watchdog_ms == 500
