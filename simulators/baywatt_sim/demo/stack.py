"""Every process of the demo: started in order, killed at will, ended together."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from baywatt_sim.broker import EmbeddedBroker
from baywatt_sim.client import SimClient
from baywatt_sim.demo.ports import Ports, choose_ports, write_site_file
from baywatt_sim.smtp_sink import SmtpSink

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "harbour" / "site.toml"
_START_S = 90.0
# Everything is on loopback without TLS; a client that makes its own context reads all the
# certificate authorities first, tens of milliseconds for every question.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class StackError(Exception):
    """A part did not come up; the text names it, its log and its last line."""


class Stack:
    """Broker, cloud, CSMS, simulated site, daemon and mail sink of one site in `folder`.

    `async with Stack(folder) as stack:` starts all of them; leaving ends all of them.
    """

    def __init__(
        self, folder: Path, *, example: Path = EXAMPLE, site: str = "harbour",
        env: dict[str, str] | None = None, ports: Ports | None = None,
    ) -> None:  # fmt: skip
        self.folder = folder.resolve()
        self.site = site
        self.ports = ports or choose_ports()
        self.site_file = self.folder / "site.toml"
        self.socket = self.folder / "run" / "control.sock"
        self._example = example
        self._extra_env = env or {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        cloud_password = secrets.token_hex(12)
        self.broker = EmbeddedBroker(self.ports.broker, {"cloud": cloud_password})
        self.mqtt_url = f"mqtt://cloud:{cloud_password}@127.0.0.1:{self.ports.broker}"
        self.cloud_url = f"http://127.0.0.1:{self.ports.cloud}"
        self.mails = SmtpSink(port=self.ports.smtp)
        self.sim = SimClient(f"http://127.0.0.1:{self.ports.site_control}")

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Everything, in the order in which the parts need each other."""
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "credentials").mkdir(parents=True)
        (self.folder / "run").mkdir()
        (self.folder / "logs").mkdir()
        write_site_file(self._example, self.site_file, self.ports)
        await self.mails.start()
        site_password = await self._add_site()
        self.broker.users[self.site] = site_password
        (self.folder / "credentials" / "cloud").write_text(site_password, encoding="utf-8")
        await self.broker.start()
        await asyncio.gather(self._start_csms(), self._start_site(), self.start_cloud())
        await self.start_daemon()

    async def stop(self) -> None:
        """End whatever runs, the daemon first."""
        for name in ("daemon", "cloud", "csms", "site"):
            await self.end(name)
        await self.broker.stop()
        await self.mails.stop()
        await self.sim.close()

    # --- parts ---------------------------------------------------------------------------

    async def _add_site(self) -> str:
        command = (sys.executable, "-m", "baywatt_cloud", "site", "add", self.site, "--json")
        process = await asyncio.create_subprocess_exec(
            *command, env=self._env(), stdout=asyncio.subprocess.PIPE, cwd=self.folder
        )
        out, _ = await process.communicate()
        if process.returncode != 0:
            raise StackError(f"baywatt-cloud site add ended with {process.returncode}")
        return str(json.loads(out)["password"])

    async def _start_csms(self) -> None:
        control = f"127.0.0.1:{self.ports.csms_control}"
        port = str(self.ports.csms)
        await self._spawn("csms", "baywatt_sim", "csms", "--port", port, "--control", control)
        await self._until("csms", lambda: _answers(f"http://{control}/received"))

    async def _start_site(self) -> None:
        control = f"127.0.0.1:{self.ports.site_control}"
        await self._spawn("site", "baywatt_sim", "site", str(self.site_file), "--control", control)
        await self._until("site", lambda: _answers(f"http://{control}/state"))

    async def start_cloud(self) -> None:
        """Start the cloud; returns when it is ready."""
        port = str(self.ports.cloud)
        await self._spawn("cloud", "baywatt_cloud", "serve", "--port", port)
        await self._until("cloud", lambda: _answers(f"{self.cloud_url}/health/ready"))

    async def start_daemon(self) -> None:
        """Start the edge daemon; returns when its control socket answers."""
        await self._spawn(
            "daemon", "baywatt_edge.cli", "run", str(self.site_file),
            "--control-socket", str(self.socket),
        )  # fmt: skip
        await self._until("daemon", self._daemon_answers)

    async def kill(self, name: str) -> None:
        """SIGKILL, as if the power failed."""
        process = self._processes.pop(name)
        process.kill()
        await process.wait()

    async def end(self, name: str) -> None:
        """SIGTERM, and SIGKILL when it does not listen."""
        process = self._processes.pop(name, None)
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()

    # --- looking -------------------------------------------------------------------------

    async def daemon_get(self, path: str) -> str:
        """GET from the daemon's control socket."""
        transport = httpx.AsyncHTTPTransport(verify=_NO_TLS, uds=str(self.socket))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://daemon", trust_env=False
        ) as http:
            answer = await http.get(path, timeout=10)
            answer.raise_for_status()
            return answer.text

    async def status(self) -> dict[str, Any]:
        """`baywatt status --json`."""
        document: dict[str, Any] = json.loads(await self.daemon_get("/status"))
        return document

    async def events(self) -> list[dict[str, Any]]:
        """The whole journal, class A."""
        lines = (await self.daemon_get("/events?after=0")).splitlines()
        return [json.loads(line) for line in lines if line]

    async def csms_received(self, action: str) -> list[dict[str, Any]]:
        """What the CSMS received of one action."""
        url = f"http://127.0.0.1:{self.ports.csms_control}/received"
        async with plain_http(10) as http:
            answer = await http.get(url, params={"action": action})
            entries: list[dict[str, Any]] = answer.json()
            return entries

    async def csms_send(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Let the CSMS call the station."""
        url = f"http://127.0.0.1:{self.ports.csms_control}/send"
        body = {"station": "HARBOUR-1", "action": action, "payload": payload}
        async with plain_http(20) as http:
            answer = await http.post(url, json=body)
            answer.raise_for_status()
            document: dict[str, Any] = answer.json()
            return document

    async def reconcile(self) -> dict[str, Any]:
        """`baywatt-cloud reconcile --json`: the cloud's own proof over its ledgers."""
        command = (sys.executable, "-m", "baywatt_cloud", "reconcile", "--json")
        process = await asyncio.create_subprocess_exec(
            *command, env=self._env(), stdout=asyncio.subprocess.PIPE, cwd=self.folder
        )
        out, _ = await process.communicate()
        document: dict[str, Any] = json.loads(out)
        return document

    # --- inner ---------------------------------------------------------------------------

    def _env(self) -> dict[str, str]:
        return {
            **os.environ,
            "BAYWATT_DATABASE_URL": f"sqlite:///{self.folder / 'cloud.db'}",
            "BAYWATT_MQTT_URL": self.mqtt_url,
            "BAYWATT_SMTP_URL": f"smtp://127.0.0.1:{self.ports.smtp}",
            "BAYWATT_PUBLIC_URL": self.cloud_url,
            "BAYWATT_PAYMENT": "fake",
            "CREDENTIALS_DIRECTORY": str(self.folder / "credentials"),
            **self._extra_env,
        }

    async def _spawn(self, name: str, module: str, *arguments: str) -> None:
        log = (self.folder / "logs" / f"{name}.log").open("ab")
        try:
            self._processes[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", module, *arguments,
                env=self._env(), cwd=self.folder, stdout=log, stderr=log,
                stdin=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        finally:
            log.close()

    async def _until(self, name: str, ready: Callable[[], Awaitable[bool]]) -> None:
        deadline = asyncio.get_running_loop().time() + _START_S
        while not await ready():
            process = self._processes[name]
            late = asyncio.get_running_loop().time() > deadline
            if process.returncode is not None or late:
                raise StackError(self._obituary(name, process.returncode))
            await asyncio.sleep(0.05)

    def _obituary(self, name: str, code: int | None) -> str:
        log = self.folder / "logs" / f"{name}.log"
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        how = "did not answer in time" if code is None else f"ended with {code}"
        return f"{name} {how}; last line of {log}: {lines[-1] if lines else '(empty)'}"

    async def _daemon_answers(self) -> bool:
        try:
            await self.daemon_get("/health")
        except (httpx.HTTPError, OSError):
            return False
        return True


def plain_http(timeout_s: float) -> httpx.AsyncClient:
    """A client for one question on loopback."""
    return httpx.AsyncClient(verify=_NO_TLS, timeout=timeout_s, trust_env=False)


async def _answers(url: str) -> bool:
    try:
        async with plain_http(2) as http:
            return (await http.get(url)).status_code == 200
    except httpx.HTTPError:
        return False
