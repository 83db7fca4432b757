"""The control API of the CSMS simulator (JSON over HTTP)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from json import JSONDecodeError

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from baywatt_sim.csms import BadRequestError, CsmsSimulator, NotConnectedError
from baywatt_sim.csms_script import Json


def control_app(csms: CsmsSimulator) -> Starlette:
    """GET /received, /transactions; POST /answers, /send, /fault."""

    async def received(request: Request) -> JSONResponse:
        wanted = {
            name: request.query_params[name]
            for name in ("action", "station")
            if name in request.query_params
        }
        entries = [each.to_json() for each in csms.received]
        return JSONResponse(
            [each for each in entries if all(each[name] == wanted[name] for name in wanted)]
        )

    async def transactions(_request: Request) -> JSONResponse:
        return JSONResponse([asdict(each) for each in csms.script.transactions.values()])

    async def answers(request: Request) -> JSONResponse:
        body = await _body(request)
        sequence = body.get("sequence")
        if not isinstance(body.get("action"), str) or not isinstance(sequence, list):
            raise BadRequestError("give {action, sequence: [...]}")
        csms.script.script(body["action"], sequence)
        return JSONResponse({"ok": True})

    async def send(request: Request) -> JSONResponse:
        body = await _body(request)
        station = str(body.get("station", ""))
        if "raw" in body:
            answer = await csms.send_raw(station, str(body["raw"]), str(body.get("message_id")))
        else:
            answer = await csms.send(station, str(body.get("action")), body.get("payload") or {})
        return JSONResponse(answer)

    async def fault(request: Request) -> JSONResponse:
        await csms.fault(await _body(request))
        return JSONResponse({"ok": True})

    return Starlette(
        routes=[
            Route("/received", received),
            Route("/transactions", transactions),
            Route("/answers", answers, methods=["POST"]),
            Route("/send", send, methods=["POST"]),
            Route("/fault", fault, methods=["POST"]),
        ],
        exception_handlers={
            BadRequestError: _says(400),
            NotConnectedError: _says(404),
            TimeoutError: _says(504),
        },
    )


async def _body(request: Request) -> Json:
    try:
        body = await request.json()
    except (JSONDecodeError, UnicodeDecodeError) as error:
        raise BadRequestError(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise BadRequestError("the body must be an object")
    return body


def _says(status: int) -> Callable[[Request, Exception], JSONResponse]:
    def handler(_request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": str(error) or "no answer in time"}, status_code=status)

    return handler
