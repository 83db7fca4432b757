"""The CSMS simulator by its own wire and its control API."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from baywatt_sim.csms import CsmsSimulator
from baywatt_sim.csms_checks import problems
from baywatt_sim.csms_cli import run_csms

START = {
    "connectorId": 1,
    "idTag": "CARD",
    "meterStart": 10,
    "timestamp": "2026-01-01T00:00:00.000Z",
}


@pytest.fixture
async def csms() -> AsyncIterator[CsmsSimulator]:
    async with CsmsSimulator() as simulator:
        yield simulator


def station(csms: CsmsSimulator, name: str = "CP", **options: Any) -> connect:
    return connect(
        f"{csms.url}/{name}",
        subprotocols=["ocpp1.6"],  # type: ignore[list-item]
        ping_interval=None,
        close_timeout=0.5,
        proxy=None,
        **options,
    )


async def ask(peer: ClientConnection, action: str, payload: Any, message_id: str = "1") -> Any:
    await peer.send(json.dumps([2, message_id, action, payload]))
    async with asyncio.timeout(5):
        return json.loads(await peer.recv())


async def test_transactions_are_booked_and_a_repeated_start_is_counted(
    csms: CsmsSimulator,
) -> None:
    async with station(csms) as peer:
        for message_id in ("1", "2"):
            answer = await ask(peer, "StartTransaction", START, message_id)
            assert answer[2]["transactionId"] == 1001
        stop = {"transactionId": 1001, "meterStop": 99, "timestamp": "2026-01-01T00:01:00Z"}
        await ask(peer, "StopTransaction", stop, "3")
    (booked,) = csms.script.transactions.values()
    assert (booked.starts, booked.stops, booked.meter_stop) == (2, 1, 99)


async def test_scripted_answers_come_in_order_and_then_the_default(csms: CsmsSimulator) -> None:
    csms.script.script("Heartbeat", [{"currentTime": "x"}, {"error": "GenericError"}])
    async with station(csms) as peer:
        assert (await ask(peer, "Heartbeat", {}, "1"))[2] == {"currentTime": "x"}
        assert (await ask(peer, "Heartbeat", {}, "2"))[:3] == [4, "2", "GenericError"]
        assert "currentTime" in (await ask(peer, "Heartbeat", {}, "3"))[2]


async def test_a_dropped_answer_never_comes_and_a_delayed_one_is_the_default(
    csms: CsmsSimulator,
) -> None:
    csms.script.script("Heartbeat", [{"drop": True}, {"delay_s": 0.01}])
    async with station(csms) as peer:
        await peer.send(json.dumps([2, "1", "Heartbeat", {}]))
        answer = await ask(peer, "Heartbeat", {}, "2")
        assert answer[1] == "2"
        assert "currentTime" in answer[2]


@pytest.mark.parametrize(("kind", "count"), [("duplicate", 2), ("lost", 0), ("malformed", 1)])
async def test_answer_faults(csms: CsmsSimulator, kind: str, count: int) -> None:
    await csms.fault({"kind": kind, "action": "Heartbeat", "count": 1})
    async with station(csms) as peer:
        await peer.send(json.dumps([2, "1", "Heartbeat", {}]))
        await peer.send(json.dumps([2, "2", "Authorize", {"idTag": "x"}]))
        texts: list[str] = []
        async with asyncio.timeout(5):
            while not any('"2"' in text for text in texts) or len(texts) < count + 1:
                texts.append(str(await peer.recv()))
        assert sum('"1"' in text for text in texts) == count


async def test_upgrade_faults_and_passwords() -> None:
    async with CsmsSimulator(passwords={"CP": "secret"}) as csms:
        with pytest.raises(InvalidStatus, match="401"):
            await station(csms)
        await csms.fault({"kind": "refuse_upgrade", "status": 404, "count": 1})
        with pytest.raises(InvalidStatus, match="404"):
            await station(csms, "OTHER")
        await csms.fault({"kind": "wrong_subprotocol", "count": 1})
        async with station(csms, "OTHER") as peer:
            assert peer.subprotocol is None
            with pytest.raises(ConnectionClosed):
                await peer.recv()
        async with station(csms, "OTHER") as peer:
            assert peer.subprotocol == "ocpp1.6"


async def test_a_black_hole_keeps_the_socket_open_and_answers_nothing(csms: CsmsSimulator) -> None:
    peer = await station(csms)
    await ask(peer, "Heartbeat", {})
    await csms.fault({"kind": "black_hole"})
    pong = await peer.ping()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pong, 0.2)
    peer.transport.abort()
    await peer.wait_closed()


@pytest.mark.parametrize(
    ("action", "payload", "word"),
    [
        ("Heartbeat", {}, ""),
        ("StartTransaction", START, ""),
        ("StartTransaction", {**START, "meterStart": "10"}, "meterStart"),
        ("StartTransaction", {**START, "timestamp": "2026-01-01T00:00:00"}, "zone"),
        ("StatusNotification", {"connectorId": 1, "errorCode": None, "status": "x"}, "leave"),
        ("Authorize", {"idTag": "x" * 21}, "20"),
        ("Reset", {}, "no request"),
        ("Heartbeat", [], "object"),
    ],
)
def test_its_own_checks_find_what_is_wrong(action: str, payload: Any, word: str) -> None:
    found = problems(action, payload)
    assert any(word in text for text in found) if word else found == []


async def test_a_used_message_id_is_noticed_over_connections(csms: CsmsSimulator) -> None:
    for _ in range(2):
        async with station(csms) as peer:
            await ask(peer, "Heartbeat", {}, "same")
    assert "used before" in csms.received[1].problems[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_the_control_api_over_http() -> None:
    port, control = free_port(), f"127.0.0.1:{free_port()}"
    serving = asyncio.create_task(run_csms(port, control, {}))
    try:
        async with httpx.AsyncClient(base_url=f"http://{control}", trust_env=False) as http:
            await _answering(http)
            await _use(http, port)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def _answering(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                await http.get("/received")
            except httpx.ConnectError:
                await asyncio.sleep(0.02)
            else:
                return


async def _use(http: httpx.AsyncClient, port: int) -> None:
    assert (await http.post("/fault", json={"kind": "odd"})).status_code == 400
    assert (await http.post("/answers", content=b"{")).status_code == 400
    assert (await http.post("/send", json={"station": "CP"})).status_code == 404
    script = {"action": "Heartbeat", "sequence": [{"currentTime": "scripted"}]}
    assert (await http.post("/answers", json=script)).json() == {"ok": True}
    url = f"ws://127.0.0.1:{port}/ocpp/CP"
    async with connect(url, subprotocols=["ocpp1.6"], proxy=None) as peer:  # type: ignore[list-item]
        assert (await ask(peer, "Heartbeat", {}))[2] == {"currentTime": "scripted"}
        (entry,) = (await http.get("/received", params={"action": "Heartbeat"})).json()
        assert (entry["station"], entry["action"], entry["message_id"]) == ("CP", "Heartbeat", "1")
        assert entry["payload"] == {}
        assert entry["time"].endswith("Z")
        sending = asyncio.create_task(
            http.post("/send", json={"station": "CP", "action": "Reset", "payload": {"type": "x"}})
        )
        frame = json.loads(await peer.recv())
        assert frame[2:] == ["Reset", {"type": "x"}]
        await peer.send(json.dumps([3, frame[1], {"status": "Rejected"}]))
        assert (await sending).json() == {"status": "Rejected"}
        assert (await http.post("/fault", json={"kind": "close"})).status_code == 200
        with pytest.raises(ConnectionClosed):
            await peer.recv()
    assert (await http.get("/transactions")).json() == []
