"""OCPP 1.6: our RPC, validation and core beside the `ocpp` package's, in one run.

Inbound is a RemoteStartTransaction from bytes to the answer's bytes; outbound a MeterValues from
the journal row to bytes, with its answer. Neither side touches a disk or a socket.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from figures import Figure, run
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result
from ocpp.v16.enums import Action, RemoteStartStopStatus

sys.path.insert(0, str(Path(__file__).parents[1]))

from ocpp_helpers import STATION, FakeHouse, World, connector, sampled, started

from baywatt_contract.site_file import Authority, Station
from baywatt_edge.clock import SystemClock
from baywatt_edge.journal import Journal, NewEvent, Write
from baywatt_edge.ocpp import BackOffRule, OcppStation
from baywatt_sim.csms import CsmsSimulator

PARTS = 10
BACKLOG = 200
ANSWER_S = 0.02


class _Loop:
    """A connection that answers every CALL of the peer at once."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[str] = asyncio.Queue()

    async def send(self, text: str) -> None:
        frame = json.loads(text)
        if frame[0] == 2:
            self.inbox.put_nowait(json.dumps([3, frame[1], {}]))

    async def recv(self) -> str:
        return await self.inbox.get()


class _Peer(ChargePoint):
    @on(Action.remote_start_transaction)
    def remote_start(self, **_: Any) -> Any:
        return call_result.RemoteStartTransaction(status=RemoteStartStopStatus.accepted)


def _remote_start() -> str:
    payload = {"connectorId": 1, "idTag": "04A1B2C3"}
    return json.dumps([2, str(uuid.uuid4()), "RemoteStartTransaction", payload])


def _meter_values() -> Any:
    world = World()
    world.happen(started("s1", 1), sampled("s1", 1))
    return world.payloads("MeterValues")[0]


async def _microseconds(work: Callable[[], Awaitable[None]], rounds: int) -> float:
    """For one piece of work, the best of ten parts."""
    await work()
    part, best = rounds // PARTS, float("inf")
    for _ in range(PARTS):
        begin = time.perf_counter()
        for _ in range(part):
            await work()
        best = min(best, time.perf_counter() - begin)
    return best / part * 1e6


async def _ours(rounds: int) -> tuple[float, float]:
    world = World()
    now = world.clock.now()

    async def inbound() -> None:
        world.sent.clear()
        world.house.wishes.clear()
        world._do(world.core.received(_remote_start().encode(), now))

    world.happen(started("s1", 1))
    world.journal.append(sampled("s1", 1))
    row = world.journal.rows[-1]

    async def outbound() -> None:
        world.sent.clear()
        world._do(world.core.rows([row], now))

    return await _microseconds(inbound, rounds), await _microseconds(outbound, rounds)


async def _peers(rounds: int) -> tuple[float, float]:
    connection = _Loop()
    peer = _Peer("CP", connection)
    reader = asyncio.create_task(peer.start())
    values = _meter_values()
    request = call.MeterValues(connector_id=1, transaction_id=101, meter_value=values["meterValue"])

    async def inbound() -> None:
        await peer.route_message(_remote_start())

    async def outbound() -> None:
        await peer.call(request)

    result = await _microseconds(inbound, rounds), await _microseconds(outbound, rounds)
    reader.cancel()
    return result


async def _drain(backlog: int) -> float:
    """Milliseconds for one message of a backlog, the CSMS's own 20 ms included."""
    clock = SystemClock(1)
    connectors = [connector(1)]
    with TemporaryDirectory() as folder:
        async with CsmsSimulator() as csms:
            journal = await Journal.open(
                Path(folder),
                "bench",
                quota_bytes=64 << 20,
                mono_now=lambda: time.monotonic_ns() // 1_000_000,
            )
            rows = [started("s1", 1), *(sampled("s1", 1) for _ in range(backlog))]
            await journal.submit(Write(events=[NewEvent(r, clock.now()) for r in rows])).done()
            await csms.fault({"kind": "late", "action": "MeterValues", "delay_s": ANSWER_S})
            station = OcppStation(
                Station(id=STATION, csms=csms.url),
                connectors,
                Authority(),
                journal=journal,
                house=FakeHouse(clock, connectors),
                clock=clock,
                program_version="bench",
                rng=Random(1),  # noqa: S311 - jitter
                back_off=BackOffRule(),
            )
            (run,) = station.tasks().values()
            task = asyncio.ensure_future(run(lambda: None))
            await csms.wait_for("MeterValues", timeout_s=30)
            begin = time.perf_counter()
            await csms.wait_for("MeterValues", backlog, timeout_s=120)
            spent_s = time.perf_counter() - begin
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await journal.close()
    return spent_s / (backlog - 1) * 1000


async def measure(quick: bool) -> list[Figure]:
    """Both ways, and a backlog over a real websocket."""
    rounds, backlog = (400, 50) if quick else (2000, BACKLOG)
    ours, peers = await _ours(rounds), await _peers(rounds)
    figures = [
        Figure(f"OCPP 1.6, {name}", mine, "us", "ocpp package", theirs)
        for name, mine, theirs in zip(
            ("RemoteStart in", "MeterValues out"), ours, peers, strict=True
        )
    ]
    drained_ms = await _drain(backlog)
    name = f"OCPP 1.6, one message of a backlog of {backlog}"
    figures.append(Figure(name, drained_ms, "ms", "the CSMS's own answer time", ANSWER_S * 1000))
    return figures


if __name__ == "__main__":
    run(measure, __doc__)
