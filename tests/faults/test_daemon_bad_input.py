"""Bad input: one clear line that names the thing and the fix, and everything else is served."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from stack_rig import CAR, EdgeStack

from baywatt_sim.demo.driver import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("stack")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EdgeStack]:
    async with EdgeStack(tmp_path_factory.mktemp("bad"), daemon=False) as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="module")
async def site(whole: EdgeStack) -> AsyncIterator[EdgeStack]:
    """Simulators only: the test starts the daemon with what it wants to be wrong."""
    yield whole
    await whole.end("daemon")
    seen = await whole.sim.state()
    for number, each in seen.connectors.items():
        if each.plugged:
            await whole.sim.unplug(number)
    await whole.csms_fault("none")


def _swap(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


async def _repeats(site: EdgeStack, times: int, *words: str) -> None:
    """Wait until the daemon has met the same trouble `times` times, mostly quietly."""

    async def met() -> int:
        return len(site.told(*words, level="DEBUG"))

    await until(met, lambda seen: seen >= times, what=f"{times} x {words}", timeout_s=40)


async def _serves(site: EdgeStack, connector: int = 1) -> None:
    """A car charges and is billed by the registers, whatever else is wrong."""
    before_wh = await site.delivered(connector)
    await site.sim.plug(connector, **CAR)
    await site.until_state(connector, "Preparing")
    assert (await site.baywatt("session", "start", str(connector))).code == 0
    await site.flowing(connector)
    await site.sim.unplug(connector)
    ended = await site.until_event("ChargingStopped", connector=connector)
    began = await site.until_event("ChargingStarted", connector=connector)
    delivered_wh = await site.delivered(connector) - before_wh
    assert abs(ended["energy_wh"] - began["energy_wh"] - delivered_wh) <= 1


# --- what ends the daemon at once ----------------------------------------------------------------


async def _refuses_to_run(site: EdgeStack, code: int) -> str:
    """The one line with which it ends."""
    ran = await site.baywatt("run", str(site.site_file))
    assert ran.code == code, ran
    assert ran.out == ""
    [line] = ran.err.splitlines()
    return line


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("fuse_a = 63", 'fuse_a = "many"', ("site.toml:", "supply.fuse_a")),
        ('control = "wallbox"', 'control = "wallbux"', ("site.toml:", "wallbux")),
        ('currency = "EUR"', 'currency = "euros"', ("site.toml:", "site.currency")),
        ("[supply]", "[supply", ("site.toml",)),
    ],
    ids=["wrong-type", "unknown-device", "no-currency", "no-toml"],
)
async def test_an_invalid_site_file_ends_with_2_and_the_place(
    site: EdgeStack, old: str, new: str, words: tuple[str, ...]
) -> None:
    site.prepare(_swap(old, new))
    line = await _refuses_to_run(site, 2)
    for word in words:
        assert word in line
    assert not (site.folder / "run" / "data").exists()


async def test_a_fail_safe_above_the_fuse_is_told_of_each_phase(site: EdgeStack) -> None:
    site.prepare(_swap("fail_safe_a = 6", "fail_safe_a = 32"))
    ran = await site.baywatt("run", str(site.site_file))
    lines = ran.err.splitlines()
    assert (ran.code, len(lines)) == (2, 3)
    for phase, line in enumerate(lines, start=1):
        assert "supply.fail_safe_a" in line
        assert f"L{phase}" in line


async def test_a_missing_site_file_ends_with_2(site: EdgeStack) -> None:
    site.prepare()
    site.site_file.unlink()
    assert str(site.site_file) in await _refuses_to_run(site, 2)


async def test_a_missing_credential_ends_with_2_and_says_where_it_belongs(
    site: EdgeStack,
) -> None:
    site.prepare(_swap("cred:cloud", "cred:clowd"))
    line = await _refuses_to_run(site, 2)
    assert "'clowd'" in line
    assert str(site.folder / "credentials" / "clowd") in line


async def test_a_database_of_a_newer_version_ends_with_5_and_is_left_alone(
    site: EdgeStack,
) -> None:
    await site.restart_with()
    await site.end("daemon")
    [database] = (site.folder / "run" / "data").glob("*.db")
    connection = sqlite3.connect(database)
    connection.execute("UPDATE schema_version SET version = 999")
    connection.commit()
    connection.close()
    before = database.read_bytes()
    line = await _refuses_to_run(site, 5)
    assert str(database) in line
    assert "run the newer program again" in line
    assert database.read_bytes() == before


async def test_a_data_folder_that_cannot_be_made_ends_with_3(site: EdgeStack) -> None:
    site.prepare()
    (site.folder / "run" / "data").write_text("a file stands in the way", encoding="utf-8")
    try:
        line = await _refuses_to_run(site, 3)
    finally:
        (site.folder / "run" / "data").unlink()
    assert str(site.folder / "run" / "data") in line


# --- what the daemon lives with ------------------------------------------------------------------


async def test_a_port_that_does_not_exist_costs_its_own_devices_only(site: EdgeStack) -> None:
    await site.restart_with(_swap('port = "run/wallbox"', 'port = "run/no-such-port"'))
    await _repeats(site, 3, "no-such-port")
    [line] = site.told("no-such-port")
    assert "wallbox-line" in line
    seen = await site.until_state(3, "Faulted")
    assert not seen["buses"]["wallbox-line"]["wallbox"]["up"]
    assert "no-such-port" in seen["buses"]["wallbox-line"]["wallbox"]["detail"]
    await _serves(site)


async def test_a_gateway_that_is_not_there_costs_its_own_devices_only(site: EdgeStack) -> None:
    port = str(site.ports.bays)
    await site.restart_with(_swap(f"tcp_port = {port}", "tcp_port = 1"))
    await _repeats(site, 3, "127.0.0.1:1 ")
    [line] = site.told("127.0.0.1:1 ")
    assert "tcp_port" in line
    await _serves(site)


async def test_a_device_that_answers_garbage_costs_itself_only(site: EdgeStack) -> None:
    await site.restart_with()
    await site.until_state(3, "Available")
    await site.sim.link("meter-3", garble=1.0)
    try:
        await site.until_status(
            lambda seen: not seen["buses"]["meters"]["meter-3"]["up"], "a silent meter-3"
        )
        seen = await site.until_status(
            lambda seen: "meter-silent" in seen["connectors"]["3"]["faults"], "the fault"
        )
        others = {key: each["up"] for key, each in seen["buses"]["meters"].items()}
        assert others == {"grid": True, "meter-1": True, "meter-2": True, "meter-3": False,
                          "meter-4": True}  # fmt: skip
        [line] = site.told("meter-3")
        assert "unit 13 on bus meters" in line
        assert "check" in line
        await _serves(site)
        assert site.told("meter-3") == [line]
    finally:
        await site.sim.link("meter-3", garble=0.0)
    await site.until_status(
        lambda seen: (
            seen["buses"]["meters"]["meter-3"]["up"] and not seen["connectors"]["3"]["faults"]
        ),
        "meter-3 back",
    )


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "refuse_upgrade", "status": 401}, ("HTTP 401", "csms_password")),
        ({"kind": "refuse_upgrade", "status": 404}, ("HTTP 404", "correct the id")),
        ({"kind": "wrong_subprotocol"}, ("subprotocol", "ocpp1.6")),
    ],
    ids=["401", "404", "subprotocol"],
)
async def test_a_csms_that_refuses_is_told_once_and_the_site_charges(
    site: EdgeStack, fault: dict[str, object], words: tuple[str, ...]
) -> None:
    await site.csms_fault(**fault)
    await site.restart_with()
    await _serves(site)
    await _repeats(site, 2, *words)
    [line] = site.told(*words)
    assert "HARBOUR-1" in line
    assert f":{site.ports.csms}/ocpp" in line
    assert (await site.status())["csms"]["HARBOUR-1"]["state"] != "accepted"


async def test_a_broker_that_is_down_is_told_once_and_everything_is_kept(
    site: EdgeStack,
) -> None:
    await site.restart_with()
    await _serves(site)
    await _repeats(site, 2, "the cloud at")
    [line] = site.told("the cloud at")
    assert f"mqtt://127.0.0.1:{site.ports.broker}" in line
    assert "check url under [cloud]" in line
    seen = (await site.status())["cloud"]
    assert seen["state"] == "offline"
    assert seen["unacked"] == len(await site.events())


async def test_a_broker_that_refuses_the_password_is_told_once(site: EdgeStack) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """CONNACK with return code 5, not authorised (MQTT 3.1.1, section 3.2.2.3)."""
        await reader.readexactly(2)
        writer.write(b"\x20\x02\x00\x05")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", site.ports.broker):
        await site.restart_with()
        await _repeats(site, 2, "the cloud at")
        assert (await site.status())["cloud"]["state"] == "refused"
    [line] = site.told("the cloud at")
    assert "'harbour'" in line
    assert "password under [cloud]" in line


async def test_a_control_socket_that_cannot_be_made_is_told_once_and_the_csms_is_served(
    site: EdgeStack, tmp_path: Path
) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("not a folder", encoding="utf-8")
    booked = len(await site.transactions())
    await site.restart_with(socket=blocked / "control.sock")
    await _repeats(site, 1, "a-file/control.sock")
    await site.sim.plug(1, **CAR)

    async def start() -> str:
        wish = {"connectorId": 1, "idTag": "BLIND-1"}
        try:
            return str((await site.csms_send("RemoteStartTransaction", wish))["status"])
        except OSError:
            return "not connected yet"

    await until(start, lambda seen: seen == "Accepted", what="the CSMS's start")
    await site.flowing(1)
    await site.sim.unplug(1)
    assert len(await site.until_stopped(booked + 1)) == booked + 1
    await _repeats(site, 2, "a-file/control.sock")
    [line] = site.told("a-file/control.sock")
    assert "--control-socket" in line
    assert not [each for each in site.log() if each.startswith("Traceback")]
