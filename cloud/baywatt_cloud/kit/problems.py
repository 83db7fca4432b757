"""Errors for callers: RFC 9457 problem details with a stable `type` per kind."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any, ClassVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

_log = logging.getLogger(__name__)
TYPE_BASE = "https://baywatt.invalid/problems/"
MEDIA_TYPE = "application/problem+json"


class ProblemDetails(BaseModel):
    """The body of every error answer."""

    type: str
    title: str
    status: int
    detail: str = ""
    errors: list[dict[str, Any]] | None = None


class ProblemError(Exception):
    """Base of everything a route answers with an error; `kind` ends the `type` URI."""

    status: ClassVar[int] = 400
    kind: ClassVar[str] = "bad-request"
    title: ClassVar[str] = "Bad request"
    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, detail: str = "", **extra: Any) -> None:  # noqa: ANN401 - any JSON
        super().__init__(detail or self.title)
        self.detail = detail
        self.extra = extra


class UnauthorisedError(ProblemError):
    """Nobody is logged in, or the token is no longer good: log in."""

    status, kind, title = 401, "unauthorised", "Log in first"
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": "Bearer"}


class ForbiddenError(ProblemError):
    """The person is known and may not do this."""

    status, kind, title = 403, "forbidden", "Not allowed"


class NotFoundError(ProblemError):
    """No such thing, or none that the caller may see."""

    status, kind, title = 404, "not-found", "Not found"


class ConflictError(ProblemError):
    """The state of the thing does not allow this now."""

    status, kind, title = 409, "conflict", "Not possible now"


class TakenError(ConflictError):
    """Somebody else holds the bay or connector in this window: choose another."""

    kind, title = "taken", "Already taken"


class UnprocessableError(ProblemError):
    """Well-formed, but it makes no sense."""

    status, kind, title = 422, "unprocessable", "Cannot be done as asked"


class PaymentDeclinedError(ProblemError):
    """The payment hold was declined: use another means of payment."""

    status, kind, title = 402, "payment-declined", "Payment declined"


class UnavailableError(ProblemError):
    """A part that is needed is down: try again later."""

    status, kind, title = 503, "unavailable", "Try again later"


def responses(*errors: type[ProblemError]) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route for OpenAPI: one entry per status."""
    found: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        entry = found.setdefault(error.status, {"model": ProblemDetails, "description": ""})
        entry["description"] = "; ".join(filter(None, [entry["description"], error.title]))
    return found


def problem_response(
    status: int,
    kind: str,
    title: str,
    detail: str = "",
    **extra: Any,  # noqa: ANN401
) -> JSONResponse:
    """The JSON answer of a problem."""
    body = {"type": TYPE_BASE + kind, "title": title, "status": status, "detail": detail, **extra}
    return JSONResponse(body, status_code=status, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error of the app as problem details."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_bug)


async def _on_problem(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProblemError)  # noqa: S101 - registered for this type
    answer = problem_response(error.status, error.kind, error.title, error.detail, **error.extra)
    answer.headers.update(error.headers)
    return answer


async def _on_invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    errors = [
        {"where": ".".join(str(part) for part in each["loc"]), "message": each["msg"]}
        for each in error.errors()
    ]
    detail = "; ".join(f"{each['where']}: {each['message']}" for each in errors[:3])
    return problem_response(422, "invalid", "The request does not fit", detail, errors=errors)


async def _on_http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    title = HTTPStatus(error.status_code).phrase
    kind = title.lower().replace(" ", "-")
    answer = problem_response(error.status_code, kind, title, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def _on_bug(request: Request, error: Exception) -> JSONResponse:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem_response(500, "internal", "Our mistake; it has been logged")
