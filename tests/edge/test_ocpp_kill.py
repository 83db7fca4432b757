"""SIGKILL in the middle of a backlog: one StartTransaction, one StopTransaction, all values."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import Process
from pathlib import Path

import ocpp_child

from baywatt_sim.csms import CsmsSimulator


async def spawn(folder: Path, url: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, ocpp_child.__file__, str(folder), url
    )


async def kill(process: Process) -> None:
    process.kill()
    await process.wait()


async def test_sigkill_between_messages_tells_a_session_once(tmp_path: Path) -> None:
    async with CsmsSimulator() as csms:
        await csms.fault({"kind": "late", "action": "MeterValues", "delay_s": 0.01})
        for wanted in (5, 12, 20):
            process = await spawn(tmp_path, csms.url)
            await csms.wait_for("MeterValues", wanted, timeout_s=30)
            await kill(process)
        process = await spawn(tmp_path, csms.url)
        await csms.wait_for("StopTransaction", timeout_s=30)
        await kill(process)
        (booked,) = csms.script.transactions.values()
        assert (booked.starts, booked.stops) == (1, 1)
        assert (booked.meter_start, booked.meter_stop) == (5000, 6000)
        values = [
            int(each.payload["meterValue"][0]["sampledValue"][0]["value"])
            for each in csms.calls("MeterValues")
        ]
        assert set(values) == set(range(5001, 5001 + ocpp_child.SAMPLES))
        assert all(each.payload["transactionId"] == booked.id for each in csms.calls("MeterValues"))
