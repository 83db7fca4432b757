"""A typed client of the control API, for tests and the demo."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import BaseModel, ConfigDict


class ControlError(Exception):
    """The simulator refused; the text is its one clear line, `status` the HTTP status."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


class _Seen(BaseModel):
    model_config = ConfigDict(frozen=True)


class ConnectorSeen(_Seen):
    """One connector's physical truth."""

    cp: str
    plugged: bool
    contactor_closed: bool
    locked: bool
    energy_wh: float
    power_w: float
    current_a: tuple[float, float, float]
    offered_a: float
    soc: float | None
    faults: list[str]


class BaySeen(_Seen):
    """One bay."""

    occupied: bool


class DeviceSeen(_Seen):
    """One device's link."""

    up: bool
    requests: int


class SupplySeen(_Seen):
    """What the site draws."""

    current_a: tuple[float, float, float]


class StateSeen(_Seen):
    """The whole answer of `GET /state`."""

    time_s: float
    connectors: dict[int, ConnectorSeen]
    bays: dict[str, BaySeen]
    devices: dict[str, DeviceSeen]
    supply: SupplySeen


class SimClient:
    """Hands on a running simulated site, e.g. `SimClient("http://127.0.0.1:18070")`.

    Every method raises ControlError when the simulator refuses and httpx.TransportError when it is
    not there.
    """

    def __init__(self, url: str, *, timeout_s: float = 5.0) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def state(self) -> StateSeen:
        """The physical truth now."""
        answer = await self._http.get("/state")
        _check(answer)
        return StateSeen.model_validate_json(answer.content)

    async def plug(self, connector_id: int, **car: Any) -> None:  # noqa: ANN401 - see Plug
        """Connect a car; keywords as in `control_bodies.Plug`."""
        await self._post(f"/connectors/{connector_id}/plug", car)

    async def unplug(self, connector_id: int) -> None:
        """Take the car off the cable."""
        await self._post(f"/connectors/{connector_id}/unplug", {})

    async def vehicle(
        self, connector_id: int, *, ready: bool | None = None, max_current_a: float | None = None
    ) -> None:
        """Change what the car wants."""
        wish = {"ready": ready, "max_current_a": max_current_a}
        await self._post(f"/connectors/{connector_id}/vehicle", wish)

    async def swipe(self, connector_id: int, token: str) -> None:
        """Hold a card to the reader."""
        await self._post(f"/connectors/{connector_id}/swipe", {"token": token})

    async def fault(self, connector_id: int, fault: str, *, active: bool = True) -> None:
        """Cause or remove a fault."""
        await self._post(f"/connectors/{connector_id}/fault", {"fault": fault, "active": active})

    async def bay(self, bay_id: str, *, occupied: bool) -> None:
        """Drive into a bay or out of it."""
        await self._post(f"/bays/{bay_id}", {"occupied": occupied})

    async def link(self, device_id: str, **faults: Any) -> None:  # noqa: ANN401 - see LinkBody
        """Break or mend a device's connection; keywords as in `control_bodies.LinkBody`."""
        await self._post(f"/devices/{device_id}/link", faults)

    async def power(self, device_id: str, *, on: bool) -> None:
        """Switch a device's supply."""
        await self._post(f"/devices/{device_id}/power", {"on": on})

    async def supply(self, other_load_a: tuple[float, float, float]) -> None:
        """Set what the rest of the building draws."""
        await self._post("/supply", {"other_load_a": list(other_load_a)})

    async def time(self, speed: float) -> None:
        """Let batteries fill faster."""
        await self._post("/time", {"speed": speed})

    async def until(
        self,
        holds: Callable[[StateSeen], bool],
        *,
        timeout_s: float = 20.0,
        every_s: float = 0.05,
        what: str = "the state",
    ) -> StateSeen:
        """Wait for a state; raises TimeoutError that shows the last one seen."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not holds(seen := await self.state()):
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"{what} did not come in {timeout_s} s; last: {seen!r}")
            await asyncio.sleep(every_s)
        return seen

    async def _post(self, path: str, body: dict[str, Any]) -> None:
        _check(await self._http.post(path, json=body))


def _check(answer: httpx.Response) -> None:
    if answer.status_code != 200:
        try:
            line = str(answer.json()["error"])
        except (ValueError, KeyError, TypeError):
            line = f"HTTP {answer.status_code}"
        raise ControlError(answer.status_code, line)
