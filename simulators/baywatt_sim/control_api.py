"""The control API of a simulated site over HTTP (interfaces.md, section 4).

Errors are one clear line: 404 for what does not exist, 409 for what makes no sense now, 422 for a
body that is wrong.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from baywatt_sim import control_bodies as bodies
from baywatt_sim.control import Control
from baywatt_sim.site_errors import NoSuchThingError, RefusedError

MAX_BODY = 64 * 1024
B = TypeVar("B", bound=bodies.Body)
Endpoint = Callable[[Request], Awaitable[Response]]


class _BadBodyError(Exception):
    """The body cannot be read as what the route wants."""


async def _body(request: Request, model: type[B]) -> B:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY:
            raise _BadBodyError(f"the body is longer than {MAX_BODY} bytes")
    try:
        return model.model_validate_json(bytes(raw) or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "body"
        raise _BadBodyError(f"{place}: {first['msg']}") from error


def _guarded(endpoint: Callable[[Request], Awaitable[None]]) -> Endpoint:
    async def answer(request: Request) -> Response:
        try:
            await endpoint(request)
        except _BadBodyError as error:
            return _error(422, str(error))
        except NoSuchThingError as error:
            return _error(404, str(error))
        except RefusedError as error:
            return _error(409, str(error))
        return JSONResponse({"ok": True})

    return answer


def _error(status: int, line: str) -> Response:
    return JSONResponse({"error": line}, status_code=status)


def _on_connector(act: Callable[[int, B], None], model: type[B]) -> Endpoint:
    async def endpoint(request: Request) -> None:
        act(request.path_params["id"], await _body(request, model))

    return _guarded(endpoint)


def _on_named(act: Callable[[str, B], None], model: type[B]) -> Endpoint:
    async def endpoint(request: Request) -> None:
        act(request.path_params["id"], await _body(request, model))

    return _guarded(endpoint)


def _on_site(act: Callable[[B], None], model: type[B]) -> Endpoint:
    async def endpoint(request: Request) -> None:
        act(await _body(request, model))

    return _guarded(endpoint)


def control_app(control: Control) -> Starlette:
    """The ASGI application for one site."""

    async def state(_request: Request) -> Response:
        return JSONResponse(control.state())

    c, b = control, bodies
    posts: dict[str, Endpoint] = {
        "/connectors/{id:int}/plug": _on_connector(c.plug, b.Plug),
        "/connectors/{id:int}/unplug": _on_connector(c.unplug, b.Nothing),
        "/connectors/{id:int}/vehicle": _on_connector(c.vehicle, b.VehicleWish),
        "/connectors/{id:int}/swipe": _on_connector(c.swipe, b.Swipe),
        "/connectors/{id:int}/fault": _on_connector(c.fault, b.FaultBody),
        "/bays/{id}": _on_named(c.bay, b.BayBody),
        "/devices/{id}/link": _on_named(c.link, b.LinkBody),
        "/devices/{id}/power": _on_named(c.power, b.PowerBody),
        "/supply": _on_site(c.supply, b.SupplyBody),
        "/time": _on_site(c.time, b.TimeBody),
    }
    routes = [Route(path, endpoint, methods=["POST"]) for path, endpoint in posts.items()]
    return Starlette(routes=[Route("/state", state, methods=["GET"]), *routes])
