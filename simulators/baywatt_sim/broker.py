"""An embedded MQTT broker (rumqttd, from the package iotcore) as a child process of ours.

`async with EmbeddedBroker(port) as broker:` starts and stops it; `kill` ends it like a power cut
(it keeps nothing). It listens on loopback only and ends by itself when its parent does.
`python -m baywatt_sim.broker --port N` runs one in the foreground.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from iotcore.iotcore import IotCoreBroker

LOOPBACK = "127.0.0.1"
MAX_PAYLOAD = 262_144
_START_S = 10.0
_POLL_S = 0.02


class BrokerFailedError(Exception):
    """The broker did not come up, or its port is taken."""


def broker_config(port: int, users: Mapping[str, str]) -> str:
    """The broker's own configuration file; without users anybody may connect."""
    auth = "".join(
        f"{json.dumps(name)} = {json.dumps(password)}\n" for name, password in users.items()
    )
    return f"""id = 0
[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v4.1]
name = "loopback"
listen = "{LOOPBACK}:{port}"
next_connection_delay_ms = 1
[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = {MAX_PAYLOAD}
max_inflight_count = 100
dynamic_filters = true
{"[v4.1.connections.auth]" if users else ""}
{auth}"""


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.create_server((LOOPBACK, 0)) as probe:
        return int(probe.getsockname()[1])


class EmbeddedBroker:
    """One broker; may be started and stopped any number of times on the same port."""

    def __init__(self, port: int, users: Mapping[str, str] | None = None) -> None:
        self.port = port
        self.users = dict(users or {})
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"mqtt://{LOOPBACK}:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Returns when the broker accepts connections; raises BrokerFailedError."""
        if self._process is not None:
            return
        if await _listens(self.port):
            raise BrokerFailedError(f"port {self.port} is taken: stop what listens there")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "baywatt_sim.broker",
            "--port",
            str(self.port),
            "--child",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
        )
        stdin = self._process.stdin
        if stdin is not None:
            stdin.write(json.dumps(self.users).encode() + b"\n")
            await stdin.drain()
        await self._wait_until_up()

    async def stop(self) -> None:
        """End it in good order."""
        await self._end(kill=False)

    async def kill(self) -> None:
        """End it at once, as by SIGKILL."""
        await self._end(kill=True)

    async def _wait_until_up(self) -> None:
        process = self._process
        try:
            async with asyncio.timeout(_START_S):
                while process is not None and process.returncode is None:
                    if await _listens(self.port):
                        return
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            pass
        await self.kill()
        raise BrokerFailedError(f"the broker did not come up on port {self.port}")

    async def _end(self, *, kill: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if kill:
                process.kill()
            else:
                process.terminate()
        await process.wait()
        if process.stdin is not None:
            process.stdin.close()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return True


def _serve(port: int, users: Mapping[str, str]) -> None:
    # rumqttd logs every packet as an error (its spans are named so).
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "broker.toml"
        path.touch(mode=0o600)
        path.write_text(broker_config(port, users), encoding="utf-8")
        broker = IotCoreBroker(config_path=str(path))
    broker.check_ports()
    broker.run_forever()


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    """The foreground broker."""
    parser = argparse.ArgumentParser(prog="baywatt_sim.broker", description="MQTT on loopback")
    parser.add_argument("--port", type=int, default=18_830)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    users: dict[str, str] = {}
    if arguments.child:
        users = json.loads(sys.stdin.buffer.readline(65_536))
        threading.Thread(target=_end_with_parent, daemon=True).start()
    _serve(arguments.port, users)


if __name__ == "__main__":
    main()
