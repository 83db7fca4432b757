"""A running harbour site for each test that asks for one, on ports and paths of its own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from baywatt_contract.site_load import parse_site_file
from baywatt_sim.broker import free_port
from baywatt_sim.client import SimClient
from baywatt_sim.control import Control
from baywatt_sim.control_api import control_app
from baywatt_sim.http_server import HttpServer
from baywatt_sim.site import SimSite
from baywatt_sim.site_build import build_site

HARBOUR = Path(__file__).parents[2] / "examples" / "harbour" / "site.toml"


@dataclass(frozen=True, slots=True)
class Harbour:
    """The example site, its control client and where its ports are."""

    site: SimSite
    sim: SimClient
    url: str
    root: Path

    def port(self, bus: str) -> Path:
        port = self.site.buses[bus].bus.port
        assert port is not None
        return self.root / port

    def tcp_port(self, bus: str) -> int:
        port = self.site.buses[bus].bus.tcp_port
        assert port is not None
        return port


@pytest.fixture
def harbour_text() -> str:
    """The example's site file with free TCP ports, so that test runs do not meet."""
    text = HARBOUR.read_text(encoding="utf-8")
    return re.sub(r"tcp_port = \d+", lambda _: f"tcp_port = {free_port()}", text)


@pytest.fixture
async def harbour(harbour_text: str, tmp_path: Path) -> AsyncIterator[Harbour]:
    clock = asyncio.get_running_loop().time
    site = build_site(parse_site_file(harbour_text, "site.toml"), tmp_path, clock, pace=True)
    await site.start()
    server = HttpServer(control_app(Control(site)), "127.0.0.1", 0)
    await server.start()
    url = f"http://127.0.0.1:{server.port}"
    async with SimClient(url) as sim:
        yield Harbour(site, sim, url, tmp_path)
    await server.stop()
    await site.stop()
