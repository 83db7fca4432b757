"""The edge daemon as a process, with its CSMS and a simulated site on real transports.

The broker of [cloud] is down all along: nothing here needs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio
from stack_rig import CAR, EdgeStack

from baywatt_sim.demo.driver import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("stack")]
_cards = count(0x04A10001)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EdgeStack]:
    async with EdgeStack(tmp_path_factory.mktemp("e2e")) as stack:
        await stack.online()
        yield stack


@pytest_asyncio.fixture(loop_scope="module")
async def site(whole: EdgeStack) -> AsyncIterator[EdgeStack]:
    """The stack at rest, before and after."""
    yield whole
    await whole.tidy()


@pytest.fixture
def card() -> str:
    """A card that nobody has seen before."""
    return f"{next(_cards):08X}"


async def _swipe(site: EdgeStack, card: str) -> None:
    await site.sim.plug(1, **CAR)
    await site.until_state(1, "Preparing")
    await site.sim.swipe(1, card)


# --- cards ---------------------------------------------------------------------------------------


async def test_an_unknown_card_charges_when_the_csms_accepts_it(site: EdgeStack, card: str) -> None:
    await _swipe(site, card)
    await site.flowing(1)
    asked = await site.csms_received("Authorize")
    assert [each["payload"] for each in asked if each["payload"]["idTag"] == card]
    begun = [each for each in await site.transactions() if each["id_tag"] == card]
    assert len(begun) == 1
    await site.until_state(1, "Charging")
    await site.sim.swipe(1, card)
    await site.until_state(1, "Finishing")
    stopped = await site.until_stopped(1)
    assert stopped[-1]["reason"] in (None, "Local")  # Local is the default and may be left out


@pytest.mark.parametrize("verdict", ["Invalid", "Blocked"])
async def test_a_card_that_the_csms_refuses_gets_nothing(
    site: EdgeStack, card: str, verdict: str
) -> None:
    before = len(await site.transactions())
    known = len(await site.events())
    await site.csms_answers("Authorize", {"idTagInfo": {"status": verdict}})
    await _swipe(site, card)
    refused = await site.until_event("SessionRefused", known, connector=1)
    assert "not accepted" in refused["reason"]
    assert verdict in refused["reason"]
    seen = await site.sim.state()
    assert not seen.connectors[1].contactor_closed
    assert len(await site.transactions()) == before


# --- the CSMS's wishes ---------------------------------------------------------------------------


async def test_remote_start_and_stop_make_one_transaction_that_equals_the_physics(
    site: EdgeStack,
) -> None:
    before_wh, booked = await site.delivered(1), len(await site.transactions())
    await site.charge(1, "REMOTE-1")
    await site.sim.until(lambda seen: seen.connectors[1].energy_wh > before_wh + 5, what="5 Wh")
    [mine] = (await site.transactions())[booked:]
    answer = await site.csms_send("RemoteStopTransaction", {"transactionId": mine["id"]})
    assert answer == {"status": "Accepted"}
    [mine] = (await site.until_stopped(booked + 1))[booked:]
    assert (mine["starts"], mine["stops"], mine["reason"]) == (1, 1, "Remote")
    delivered_wh = await site.delivered(1) - before_wh
    assert abs(mine["meter_stop"] - mine["meter_start"] - delivered_wh) <= 1
    again = await site.csms_send("RemoteStopTransaction", {"transactionId": mine["id"]})
    assert again == {"status": "Rejected"}


async def test_change_availability_is_shown_refuses_cars_and_is_taken_back(
    site: EdgeStack, card: str
) -> None:
    change = {"connectorId": 2, "type": "Inoperative"}
    assert await site.csms_send("ChangeAvailability", change) == {"status": "Accepted"}
    await site.until_state(2, "Unavailable")
    start = {"connectorId": 2, "idTag": card}
    assert await site.csms_send("RemoteStartTransaction", start) == {"status": "Rejected"}
    change["type"] = "Operative"
    assert await site.csms_send("ChangeAvailability", change) == {"status": "Accepted"}
    await site.until_state(2, "Available")
    told = await until(
        lambda: _statuses(site, 2), lambda seen: seen[-1] == "Available", what="the notification"
    )
    assert "Unavailable" in told


async def _statuses(site: EdgeStack, connector: int) -> list[str]:
    told = [each["payload"] for each in await site.csms_received("StatusNotification")]
    return [each["status"] for each in told if each["connectorId"] == connector]


async def test_inoperative_while_charging_is_scheduled_for_the_end_of_the_visit(
    site: EdgeStack,
) -> None:
    booked = len(await site.transactions())
    await site.charge(2)
    change = {"connectorId": 2, "type": "Inoperative"}
    assert await site.csms_send("ChangeAvailability", change) == {"status": "Scheduled"}
    seen = await site.status()
    assert seen["connectors"]["2"]["state"] == "Charging"
    await site.sim.unplug(2)
    await site.until_state(2, "Unavailable")
    await site.until_stopped(booked + 1)
    change["type"] = "Operative"
    assert await site.csms_send("ChangeAvailability", change) == {"status": "Accepted"}
    await site.until_state(2, "Available")


async def test_a_soft_reset_ends_the_transaction_with_its_reason_and_restarts_the_daemon(
    site: EdgeStack,
) -> None:
    booked, boot = len(await site.transactions()), (await site.status())["boot"]
    await site.charge(1)
    assert await site.csms_send("Reset", {"type": "Soft"}) == {"status": "Accepted"}
    assert await site.ended("daemon") == 0
    await site.start_daemon()  # as systemd does: Restart=always
    await site.online()
    assert (await site.status())["boot"] == boot + 1
    [mine] = (await site.until_stopped(booked + 1))[booked:]
    assert (mine["starts"], mine["stops"], mine["reason"]) == (1, 1, "SoftReset")


async def test_unlock_connector_ends_the_charge_and_releases_the_plug(site: EdgeStack) -> None:
    booked = len(await site.transactions())
    await site.charge(1)
    assert (await site.sim.state()).connectors[1].locked
    answer = await site.csms_send("UnlockConnector", {"connectorId": 1})
    assert answer == {"status": "Unlocked"}
    await site.sim.until(
        lambda seen: not (seen.connectors[1].locked or seen.connectors[1].contactor_closed),
        what="a released plug",
    )
    [mine] = (await site.until_stopped(booked + 1))[booked:]
    assert mine["reason"] == "UnlockCommand"


# --- connectors ----------------------------------------------------------------------------------


async def test_the_wallbox_charges_at_no_more_than_its_16_a(site: EdgeStack) -> None:
    booked, before_wh = len(await site.transactions()), await site.delivered(3)
    await site.charge(3)
    seen = await site.sim.until(
        lambda seen: max(seen.connectors[3].current_a) > 15, what="the wallbox at full current"
    )
    assert max(seen.connectors[3].current_a) <= 16
    shown = (await site.status())["connectors"]["3"]
    assert (shown["limit_ma"], shown["limit_rule"]) == (16_000, "connector")
    await site.sim.unplug(3)
    [mine] = (await site.until_stopped(booked + 1))[booked:]
    delivered_wh = await site.delivered(3) - before_wh
    assert abs(mine["meter_stop"] - mine["meter_start"] - delivered_wh) <= 1


async def test_three_cars_never_draw_more_than_the_fuse_bears(site: EdgeStack) -> None:
    """Not even while one arrives: who is lowered must have followed before another is raised."""
    await site.sim.supply((10, 5, 0))
    drawn: list[float] = []

    async def watch() -> None:
        while True:
            seen = await site.sim.state()
            drawn.append(max(seen.supply.current_a))
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())
    try:
        for connector in (1, 2, 3):
            await site.charge(connector)
        await site.sim.until(
            lambda seen: all(max(seen.connectors[n].current_a) > 10 for n in (1, 2, 3)),
            what="three charging cars",
            timeout_s=30,
        )
        settled = len(drawn)
        while len(drawn) < settled + 60:
            await asyncio.sleep(0.05)
    finally:
        watching.cancel()
        await site.sim.supply((0, 0, 0))
    assert len(drawn) > 100
    assert max(drawn) <= 63.5, drawn[drawn.index(max(drawn)) - 10 :][:20]


async def test_the_dc_outlet_is_polled_and_shown_but_stays_unavailable(
    site: EdgeStack, card: str
) -> None:
    seen = await site.status()
    assert seen["connectors"]["4"]["state"] == "Unavailable"
    assert "ISO 15118" in seen["connectors"]["4"]["reason"]
    assert seen["buses"]["dc-can"]["dc-1"]["up"]
    await site.sim.plug(4, **CAR)
    start = {"connectorId": 4, "idTag": card}
    assert await site.csms_send("RemoteStartTransaction", start) == {"status": "Rejected"}
    assert (await site.status())["connectors"]["4"]["state"] == "Unavailable"
    assert not (await site.sim.state()).connectors[4].contactor_closed


async def test_an_emergency_stop_latches_is_shown_and_clears_when_the_board_restarts(
    site: EdgeStack,
) -> None:
    booked, known = len(await site.transactions()), len(await site.events())
    await site.charge(1)
    await site.sim.fault(1, "emergency-stop")
    await site.sim.until(lambda seen: not seen.connectors[1].contactor_closed, what="open")
    seen = await site.until_state(1, "Faulted")
    assert seen["connectors"]["1"]["faults"] == ["emergency-stop"]
    [mine] = (await site.until_stopped(booked + 1))[booked:]
    assert mine["reason"] == "EmergencyStop"
    await site.sim.fault(1, "emergency-stop", active=False)
    await site.sim.unplug(1)
    await site.sim.until(lambda seen: seen.connectors[1].cp == "F", what="the latch in state F")
    assert (await site.status())["connectors"]["1"]["state"] == "Faulted"
    await site.sim.power("board-1", on=False)
    await site.sim.power("board-1", on=True)
    await site.until_state(1, "Available")
    await site.until_event("FaultCleared", known, connector=1, fault="emergency-stop")
    assert "Faulted" in await _statuses(site, 1)


async def test_a_silent_supply_meter_lowers_to_the_fail_safe_and_says_so(site: EdgeStack) -> None:
    await site.charge(1)
    await site.sim.link("grid", up=False)
    await site.sim.until(
        lambda seen: seen.connectors[1].offered_a == 6, what="the fail-safe", timeout_s=15
    )
    told = await site.baywatt("why", "1", "--json")
    assert told.code == 0
    rules = {step["rule"]: step for step in told.json["steps"]}
    assert rules["grant supply-meter-stale"]["limit_ma"] == 6000
    assert "supply meter is silent" in rules["grant supply-meter-stale"]["says"]
    await site.sim.link("grid", up=True)
    await site.sim.until(
        lambda seen: seen.connectors[1].offered_a > 6, what="the raise", timeout_s=25
    )


async def test_a_bay_sensor_is_shown_and_recorded(site: EdgeStack) -> None:
    known = len(await site.events())
    await site.sim.bay("A3", occupied=True)
    await site.until_status(lambda seen: seen["bays"]["A3"]["state"] == "occupied", "a car in A3")
    await site.until_event("BayChanged", known, bay="A3", state="occupied")
    await site.sim.bay("A3", occupied=False)
    await site.until_status(lambda seen: seen["bays"]["A3"]["state"] == "vacant", "a vacant A3")


# --- the installer's commands --------------------------------------------------------------------


async def test_the_commands_tell_a_program_what_the_daemon_knows(site: EdgeStack) -> None:
    status, events = await asyncio.gather(
        site.baywatt("status", "--json"), site.baywatt("events", "--json", "--limit", "5")
    )
    assert (status.code, events.code) == (0, 0)
    expected = {"site", "boot", "clock", "csms", "cloud", "connectors", "bays", "buses", "supply"}
    assert expected <= set(status.json)
    assert status.json["csms"]["HARBOUR-1"]["state"] == "accepted"
    assert status.json["cloud"]["state"] != "connected"  # its broker is down
    assert len(events.out.splitlines()) == 5
    check = await site.baywatt("check", str(site.site_file), "--json")
    assert (check.code, check.json) == (0, {"ok": True, "problems": []})


async def test_a_session_by_hand_from_start_to_stop(site: EdgeStack) -> None:
    await site.sim.plug(2, **CAR)
    await site.until_state(2, "Preparing")
    started = await site.baywatt("session", "start", "2", "--json")
    assert (started.code, started.json["accepted"]) == (0, True)
    await site.flowing(2)
    again = await site.baywatt("session", "start", "2", "--json")
    assert (again.code, again.json["accepted"]) == (4, False)
    assert "another session" in again.json["reason"]
    stopped = await site.baywatt("session", "stop", "2", "--json")
    assert (stopped.code, stopped.json["session"]) == (0, started.json["session"])
    await site.until_state(2, "Finishing")


async def test_a_connector_is_disabled_and_enabled_by_hand(site: EdgeStack) -> None:
    assert (await site.baywatt("connector", "disable", "2")).code == 0
    await site.until_state(2, "Unavailable")
    assert (await site.baywatt("connector", "enable", "2")).code == 0
    await site.until_state(2, "Available")


async def test_a_command_that_cannot_be_carried_out_says_why_by_its_exit_code(
    site: EdgeStack, tmp_path: Path
) -> None:
    nobody, unknown, refused = await asyncio.gather(
        site.baywatt("status", "--json", socket=tmp_path / "nobody.sock"),
        site.baywatt("why", "77", "--json"),
        site.baywatt("session", "stop", "1"),
    )
    assert (nobody.code, unknown.code, refused.code) == (3, 2, 4)
    assert (nobody.out, unknown.out, refused.out) == ("", "", "")
    assert "nobody.sock" in nobody.err
    assert "77" in unknown.err
    assert "1, 2, 3, 4" in unknown.err
    assert "no such session" in refused.err
    for each in (nobody, unknown, refused):
        assert len(each.err.splitlines()) == 1


# --- outages at the start ------------------------------------------------------------------------


async def test_broker_and_csms_down_at_the_start_cost_nothing(tmp_path: Path) -> None:
    async with EdgeStack(tmp_path / "s", csms=False) as site:
        await site.until_state(1, "Available")
        await site.sim.plug(1, **CAR)
        await site.until_state(1, "Preparing")
        assert (await site.baywatt("session", "start", "1", "--token", "LOCAL-1")).code == 0
        await site.flowing(1)
        await site.until_state(1, "Charging")
        assert (await site.baywatt("session", "stop", "1")).code == 0
        await site.until_state(1, "Finishing")
        assert await site.delivered(1) > 0
        await site.start_csms()
        [mine] = await until(
            site.transactions, lambda seen: any(each["stops"] for each in seen),
            what="the transaction of the outage", timeout_s=80,
        )  # fmt: skip
        assert (mine["starts"], mine["stops"]) == (1, 1)
        assert abs(mine["meter_stop"] - mine["meter_start"] - await site.delivered(1)) <= 1
        assert [len(await site.csms_received(f"{each}Transaction")) for each in
                ("Start", "Stop")] == [1, 1]  # fmt: skip
        assert (await site.status())["cloud"]["unacked"] > 0
        lost = [line for line in site.log() if "the cloud at" in line and "WARNING" in line]
        assert len(lost) == 1, lost
