"""Every route of the control API: what it does, and what it answers to what is wrong."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from baywatt_sim.broker import free_port
from baywatt_sim.client import ControlError, SimClient

if TYPE_CHECKING:
    from simulators.conftest import Harbour

WRONG: list[tuple[str, Any, int]] = [
    ("/connectors/1/plug", {"soc": 2}, 422),
    ("/connectors/1/plug", {"colour": "red"}, 422),
    ("/connectors/1/plug", [], 422),
    ("/connectors/9/plug", {}, 404),
    ("/connectors/x/plug", {}, 404),
    ("/connectors/1/unplug", {}, 409),
    ("/connectors/1/vehicle", {"ready": False}, 409),
    ("/connectors/1/swipe", {"token": "04A1"}, 422),
    ("/connectors/1/swipe", {"token": "not hex!"}, 422),
    ("/connectors/3/swipe", {"token": "04A1B2C3"}, 409),
    ("/connectors/1/fault", {"fault": "boredom"}, 422),
    ("/bays/Z9", {"occupied": True}, 404),
    ("/bays/A1", {"occupied": "perhaps"}, 422),
    ("/devices/nothing/link", {"up": False}, 404),
    ("/devices/grid/link", {"garble": 2}, 422),
    ("/devices/grid/link", {"reverse_ct": [4]}, 422),
    ("/devices/board-1/link", {"swap_words": True}, 409),
    ("/devices/bay-a1/link", {"echo": True}, 409),
    ("/devices/grid/power", {}, 422),
    ("/supply", {"other_load_a": [1, 2]}, 422),
    ("/supply", {"other_load_a": [1, 2, -3]}, 422),
    ("/time", {"speed": 0}, 422),
]


@pytest.fixture
async def http(harbour: Harbour) -> Any:
    async with httpx.AsyncClient(base_url=harbour.url) as client:
        yield client


async def test_wrong_requests_get_one_clear_line(http: httpx.AsyncClient) -> None:
    for path, body, status in WRONG:
        answer = await http.post(path, json=body)
        assert answer.status_code == status, (path, body, answer.text)
        if path != "/connectors/x/plug":
            line = answer.json()["error"]
            assert line
            assert "\n" not in line


@pytest.mark.parametrize("raw", [b"{", b"\xff\xfe", b"x" * 70_000])
async def test_a_body_that_is_no_json_is_refused(http: httpx.AsyncClient, raw: bytes) -> None:
    assert (await http.post("/bays/A1", content=raw)).status_code == 422


async def test_a_car_comes_changes_its_mind_and_goes(harbour: Harbour) -> None:
    sim = harbour.sim
    await sim.plug(1, soc=0.25, capacity_wh=40_000, iso15118="external", cable_a=20)
    seen = (await sim.state()).connectors[1]
    assert (seen.plugged, seen.cp, seen.soc) == (True, "B", 0.25)
    with pytest.raises(ControlError, match="has a car already") as refused:
        await sim.plug(1)
    assert refused.value.status == 409
    await sim.vehicle(1, ready=False, max_current_a=10)
    car = harbour.site.world.outlets[1].vehicle
    assert car is not None
    assert (car.ready, car.max_current_a) == (False, 10)
    await sim.vehicle(1, ready=True)
    assert (car.ready, car.max_current_a) == (True, 10)
    await sim.unplug(1)
    assert (await sim.state()).connectors[1].cp == "A"


async def test_bays_supply_and_time(harbour: Harbour) -> None:
    sim = harbour.sim
    await sim.bay("A3", occupied=True)
    await sim.supply((1, 2, 3))
    await sim.time(60)
    state = await sim.state()
    assert [key for key, bay in state.bays.items() if bay.occupied] == ["A3"]
    assert state.supply.current_a == (1, 2, 3)
    assert harbour.site.world.battery_speed == 60


async def test_links_are_broken_one_by_one_and_as_a_whole_or_not_at_all(harbour: Harbour) -> None:
    sim = harbour.sim
    await sim.link("meter-1", up=False, garble=0.01, latency_ms=200, duplicate_id=True)
    await sim.link("meter-1", swap_ab=True, drop=0.5, baudrate=9600, echo=True)
    device = harbour.site.devices["meter-1"]
    link = device.link
    assert (link.up, link.garble, link.latency_ms) == (False, 0.01, 200)
    assert (link.duplicate_id, link.swap_ab, link.drop, link.baudrate) == (True, True, 0.5, 9600)
    assert device.line is not None
    assert device.line.echo
    assert not (await sim.state()).devices["meter-1"].up
    with pytest.raises(ControlError):
        await sim.link("wallbox", up=False, reverse_ct=[1])
    assert (await sim.state()).devices["wallbox"].up


async def test_power_and_faults_at_a_wallbox(harbour: Harbour) -> None:
    sim = harbour.sim
    await sim.fault(3, "pilot-short")
    assert (await sim.state()).connectors[3].cp == "E"
    await sim.fault(3, "pilot-short", active=False)
    assert (await sim.state()).connectors[3].cp == "A"
    await sim.power("wallbox", on=False)
    assert not (await sim.state()).devices["wallbox"].up
    await sim.power("wallbox", on=True)
    assert (await sim.state()).devices["wallbox"].up


async def run(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "baywatt_sim",
        "site",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_the_command_says_when_it_is_ready_and_leaves_no_port_behind(
    harbour_text: str, tmp_path: Path
) -> None:
    file = tmp_path / "site.toml"
    file.write_text(harbour_text)
    port = free_port()
    process = await run(str(file), "--control", f"127.0.0.1:{port}", "--no-pace")
    assert process.stdout is not None
    async with asyncio.timeout(20):
        line = await process.stdout.readline()
    assert line.startswith(b"ready site harbour")
    async with SimClient(f"http://127.0.0.1:{port}") as sim:
        assert len((await sim.state()).devices) == 13
    links = [tmp_path / "run" / name for name in ("meters", "wallbox", "board-1", "board-2")]
    assert all(each.is_symlink() for each in links)
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert not any(each.is_symlink() for each in links)


@pytest.mark.parametrize(
    ("old", "new", "code", "line"),
    [
        ('id = "harbour"', "id = 5", 2, "site.id"),
        ('"eastron-sdm630"', '"no-such"', 2, "device 'grid': profile 'no-such'"),
        ('kind = "can"', 'kind = "gpio"\nchip = "0"', 2, "bus 'dc-can': kind gpio"),
        ('host = "127.0.0.1"', 'host = "192.0.2.1"', 3, "bus 'bay-gateway' cannot listen on"),
    ],
)
async def test_a_site_that_cannot_be_simulated_gets_one_clear_line(
    harbour_text: str, tmp_path: Path, old: str, new: str, code: int, line: str
) -> None:
    file = tmp_path / "site.toml"
    file.write_text(harbour_text.replace(old, new, 1))
    process = await run(str(file), "--control", "127.0.0.1:0")
    async with asyncio.timeout(20):
        _, errors = await process.communicate()
    assert process.returncode == code, errors
    text = errors.decode()
    assert line in text
    assert len(text.splitlines()) == 1
    assert await asyncio.to_thread(lambda: not list(tmp_path.glob("run/*")))
