"""SIGKILL of the daemon at every phase of a visit: it resumes, and the books are the physics.

And the loss of the host as the vehicle sees it: the board falls to its safe current by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from stack_rig import CAR, EdgeStack

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("stack")]

# PROTOCOL.md, section 7: no valid control frame for 1 s, then the fail-safe at once. What the
# simulated site takes to show it comes on top: one look every 20 ms, on a busy machine more.
HOST_LOSS_S = 1.0
SLACK_S = 0.5


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EdgeStack]:
    async with EdgeStack(tmp_path_factory.mktemp("kill")) as stack:
        await stack.online()
        yield stack


@pytest_asyncio.fixture(loop_scope="module")
async def site(whole: EdgeStack) -> AsyncIterator[EdgeStack]:
    """The stack at rest, before and after."""
    yield whole
    await whole.tidy()


class Books:
    """One visit at connector 1, compared with the physics when it is over."""

    def __init__(self, site: EdgeStack) -> None:
        self._site = site

    async def open(self) -> None:
        self._delivered_wh = await self._site.delivered(1)
        self._events = len(await self._site.events())
        self._booked = len(await self._site.transactions())
        self._calls = {each: await self._calls_of(each) for each in ("Start", "Stop")}

    async def _calls_of(self, kind: str) -> int:
        return len(await self._site.csms_received(f"{kind}Transaction"))

    async def check(self, *, least_wh: float = 1.0, starts: tuple[int, ...] = (1,)) -> None:
        """Journal = OCPP = physics, one transaction with one Stop, each event once.

        `starts` counts how often the Start was sent: a second time is right only when the answer
        to the first may have died with the daemon; the CSMS books it once all the same.
        """
        site = self._site
        [mine] = (await site.until_stopped(self._booked + 1))[self._booked :]
        delivered_wh = await site.delivered(1) - self._delivered_wh
        assert delivered_wh >= least_wh, "nothing flowed: the test has tested nothing"
        assert abs(mine["meter_stop"] - mine["meter_start"] - delivered_wh) <= 1
        assert mine["starts"] in starts
        assert mine["stops"] == 1
        assert await self._calls_of("Start") - self._calls["Start"] == mine["starts"]
        assert await self._calls_of("Stop") - self._calls["Stop"] == 1
        told = (await site.events())[self._events :]
        kinds = ("SessionAuthorised", "ChargingStarted", "ChargingStopped", "SessionEnded")
        found = {kind: [each["data"] for each in told if each["type"] == kind] for kind in kinds}
        assert {kind: len(each) for kind, each in found.items()} == dict.fromkeys(kinds, 1)
        assert len({each[0]["session"] for each in found.values()}) == 1
        [began], [ended] = found["ChargingStarted"], found["ChargingStopped"]
        assert not ended["estimated"]
        registers = (began["energy_wh"], ended["energy_wh"])
        assert registers == (mine["meter_start"], mine["meter_stop"])


@pytest_asyncio.fixture(loop_scope="module")
async def books(site: EdgeStack) -> Books:
    found = Books(site)
    await found.open()
    return found


async def _restart(site: EdgeStack) -> None:
    await site.kill("daemon")
    await site.start_daemon()


async def _delivered(site: EdgeStack) -> None:
    """Until the daemon knows that the CSMS has everything: nothing is sent twice after a kill."""
    await site.until_status(lambda seen: seen["csms"]["HARBOUR-1"]["queue"] == 0, "an empty queue")


async def _charge_a_little(site: EdgeStack) -> None:
    """Until another 5 Wh have gone through: a register step more than any error could hide."""
    goal = await site.delivered(1) + 5
    await site.sim.until(lambda seen: seen.connectors[1].energy_wh > goal, what="5 Wh more")


async def test_killed_while_authorised_it_waits_for_the_plug_and_charges(
    site: EdgeStack, books: Books
) -> None:
    start = {"connectorId": 1, "idTag": "KILL-1"}
    answer = await site.csms_send("RemoteStartTransaction", start)
    assert answer == {"status": "Accepted"}  # said after the commit: now it must survive
    await _restart(site)
    await site.sim.plug(1, **CAR)
    await site.flowing(1)
    await _charge_a_little(site)
    await site.sim.unplug(1)
    await books.check()


async def test_killed_as_soon_as_the_contactor_closes_it_goes_on(
    site: EdgeStack, books: Books
) -> None:
    await site.sim.plug(1, **CAR)
    await site.until_state(1, "Preparing")
    start = {"connectorId": 1, "idTag": "KILL-2"}
    assert await site.csms_send("RemoteStartTransaction", start) == {"status": "Accepted"}
    await site.sim.until(lambda seen: seen.connectors[1].contactor_closed, what="closed")
    await _restart(site)
    await site.flowing(1)
    await _charge_a_little(site)
    await site.sim.unplug(1)
    await books.check(starts=(1, 2))


async def test_killed_while_charging_the_same_transaction_goes_on(
    site: EdgeStack, books: Books
) -> None:
    session = await site.charge(1)
    await _delivered(site)
    await _restart(site)
    seen = await site.until_state(1, "Charging")
    assert seen["connectors"]["1"]["session"] == session
    await site.sim.until(lambda seen: seen.connectors[1].offered_a > 6, what="the raise")
    await _charge_a_little(site)
    await site.sim.unplug(1)
    await books.check(least_wh=5)


async def test_unplugged_while_the_daemon_is_dead_the_end_is_read_afterwards(
    site: EdgeStack, books: Books
) -> None:
    await site.charge(1)
    await _charge_a_little(site)
    await _delivered(site)
    await site.kill("daemon")
    await site.sim.unplug(1)
    await site.sim.until(lambda seen: not seen.connectors[1].contactor_closed, what="open")
    await site.start_daemon()
    await site.until_state(1, "Available")
    await books.check(least_wh=5)


async def test_killed_while_stopping_it_still_ends_with_the_first_reason(
    site: EdgeStack, books: Books
) -> None:
    await site.charge(1)
    await _charge_a_little(site)
    known = len(await site.events())
    # The meter keeps still, so that the stop cannot be finished before the kill.
    await site.sim.link("meter-1", latency_ms=1500)
    mine = (await site.transactions())[-1]
    answer = await site.csms_send("RemoteStopTransaction", {"transactionId": mine["id"]})
    assert answer == {"status": "Accepted"}
    told = [each["type"] for each in (await site.events())[known:]]
    assert "SessionStopping" in told
    assert "ChargingStopped" not in told, "the kill comes too late to test anything"
    await site.kill("daemon")
    await site.sim.link("meter-1", latency_ms=0)
    await site.start_daemon()
    await site.until_state(1, "Finishing")
    await site.sim.unplug(1)
    await books.check(least_wh=5)
    assert (await site.transactions())[-1]["reason"] == "Remote"


async def test_killed_between_the_stop_and_the_unplugging_it_ends_once(
    site: EdgeStack, books: Books
) -> None:
    booked = len(await site.transactions())
    await site.charge(1)
    await _charge_a_little(site)
    assert (await site.baywatt("session", "stop", "1")).code == 0
    await site.until_stopped(booked + 1)
    await _delivered(site)
    await _restart(site)
    await site.until_state(1, "Finishing")
    await site.sim.unplug(1)
    await site.until_state(1, "Available")
    await books.check(least_wh=5)


async def test_killed_with_the_csms_away_it_delivers_both_ends_once(
    site: EdgeStack, books: Books
) -> None:
    await site.charge(1)
    await _delivered(site)
    await site.csms_fault("refuse_upgrade")
    await site.csms_fault("close")
    await _charge_a_little(site)
    assert (await site.baywatt("session", "stop", "1")).code == 0
    await site.until_state(1, "Finishing")
    await _restart(site)
    await site.sim.unplug(1)
    await site.until_state(1, "Available")
    await site.csms_fault("none")
    await site.until_status(
        lambda seen: seen["csms"]["HARBOUR-1"]["state"] == "accepted", "the CSMS", timeout_s=60
    )
    await books.check(least_wh=5)


async def test_a_dead_host_leaves_the_safe_current_within_the_boards_time(
    site: EdgeStack,
) -> None:
    session = await site.charge(1)
    took_s = []
    for _ in range(5):
        await site.sim.until(
            lambda seen: seen.connectors[1].offered_a > 6, what="the raise", timeout_s=30
        )
        await site.kill("daemon")
        killed_at = (await site.sim.state()).time_s
        fallen = await site.sim.until(
            lambda seen: seen.connectors[1].offered_a == 6, what="the fail-safe", timeout_s=10,
            every_s=0.02,
        )  # fmt: skip
        took_s.append(fallen.time_s - killed_at)
        assert fallen.connectors[1].contactor_closed
        await site.start_daemon()
    assert max(took_s) <= HOST_LOSS_S + SLACK_S, took_s
    seen = await site.until_state(1, "Charging")
    assert seen["connectors"]["1"]["session"] == session
