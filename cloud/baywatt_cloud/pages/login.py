"""Log in, register, log out: forms that give the browser its cookie."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError

from baywatt_cloud.auth import service
from baywatt_cloud.auth.schemas import Registration
from baywatt_cloud.kit.identity import SESSION_COOKIE
from baywatt_cloud.kit.problems import UnauthorisedError
from baywatt_cloud.kit.services import NowMs, Use
from baywatt_cloud.pages.access import PageRoute, Visitor, log_in, safe_next
from baywatt_cloud.pages.templating import render

router = APIRouter(include_in_schema=False, route_class=PageRoute)

Next = Annotated[str, Query(max_length=300)]
FormNext = Annotated[str, Form(alias="next", max_length=300)]
Field = Annotated[str, Form(max_length=320)]


@router.get("/login")
async def login_form(request: Request, visitor: Visitor, next: Next = "/") -> Response:  # noqa: A002
    """The form; who is logged in already goes on."""
    if visitor is not None:
        return RedirectResponse(safe_next(next), 303)
    return _form(request, next, "")


@router.post("/login")
async def login(
    request: Request, use: Use, email: Field, password: Field, path: FormNext = "/"
) -> Response:
    """Check the password and set the cookie."""
    try:
        user = await service.check_password(use.database, email, password)
    except UnauthorisedError:
        return _form(request, path, "E-mail or password is wrong.", email, status=401)
    return log_in(use, user.id, path)


@router.post("/register")
async def register(
    request: Request, use: Use, now_ms: NowMs, email: Field, password: Field,
    path: FormNext = "/",
) -> Response:  # fmt: skip
    """Open a driver's account and log in."""
    try:
        wanted = Registration(email=email, password=password)
    except ValidationError as error:
        where = error.errors()[0]["loc"][0]
        line = "The password needs 8 characters." if where == "password" else "Check the e-mail."
        return _form(request, path, line, email, status=422)
    password_hash = await service.hash_password(wanted.password)
    try:
        async with use.database.write() as db:
            user = await service.add_user(db, wanted.email, password_hash, now_ms)
    except service.EmailTakenError:
        return _form(request, path, "This address has an account already.", email, status=409)
    return log_in(use, user.id, path)


@router.post("/logout")
async def logout() -> Response:
    """Forget the cookie."""
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(SESSION_COOKIE)
    return answer


def _form(
    request: Request, path: str, line: str, email: str = "", *, status: int = 200
) -> HTMLResponse:
    values = {"next": safe_next(path), "line": line, "email": email}
    return render(request, "login.html", None, values, status)
