"""The peer: a plain pymodbus loop that reads the same registers of the same devices as often.

`bare_poll.py PLAN.json`; one task per bus, no journal, no decisions, no OCPP. Runs until SIGTERM
and then says how many reads it made.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from pathlib import Path
from typing import Any

from pymodbus import ModbusException
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient


async def poll(bus: dict[str, Any], counts: list[int]) -> None:
    """One bus, for ever: whatever is due, then sleep until the next is."""
    client: Any
    if "port" in bus:
        client = AsyncModbusSerialClient(
            bus["port"], baudrate=bus["baudrate"], timeout=0.5, retries=0
        )
    else:
        client = AsyncModbusTcpClient(bus["host"], port=bus["tcp_port"], timeout=0.5, retries=0)
    await client.connect()
    loop = asyncio.get_running_loop()
    due = dict.fromkeys(range(len(bus["devices"])), loop.time())
    while True:
        place = min(due, key=lambda each: due[each])
        await asyncio.sleep(max(0.0, due[place] - loop.time()))
        device = bus["devices"][place]
        due[place] += device["interval_s"]
        for function, address, count in device["blocks"]:
            read = client.read_input_registers if function == 4 else client.read_holding_registers
            try:
                answer = await read(address, count=count, device_id=device["unit"])
                counts[0 if not answer.isError() else 1] += 1
            except ModbusException:
                counts[1] += 1
            await asyncio.sleep(bus["gap_s"])


async def main(plan: Path) -> None:
    """Poll every bus until told to stop."""
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # it dumps frames at each miss
    buses = json.loads(plan.read_text(encoding="utf-8"))
    counts = [0, 0]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    tasks = [asyncio.create_task(poll(bus, counts)) for bus in buses]
    await stop.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    sys.stdout.write(json.dumps({"reads": counts[0], "failed": counts[1]}) + "\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
