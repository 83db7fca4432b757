"""Who looks at a page: the cookie's person, or nobody; and sending nobody to the login."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute

from baywatt_cloud.kit.identity import SESSION_COOKIE, Person, issue_token, person_of, token_of
from baywatt_cloud.kit.problems import ProblemError, UnauthorisedError
from baywatt_cloud.kit.services import Services, services_of
from baywatt_cloud.pages.templating import render


async def _visitor(request: Request) -> Person | None:
    try:
        return await person_of(services_of(request), token_of(request))
    except UnauthorisedError:
        return None


Visitor = Annotated[Person | None, Depends(_visitor)]
"""The logged-in person, or None."""


class PageRoute(APIRoute):
    """Problems of a page are pages too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler."""
        handle = super().get_route_handler()

        async def page(request: Request) -> Response:
            try:
                return await handle(request)
            except ProblemError as error:
                visitor = await _visitor(request)
                return render(request, "problem.html", visitor, {"problem": error}, error.status)

        return page


def to_login(request: Request) -> RedirectResponse:
    """Log in first, then come back here."""
    return RedirectResponse(f"/login?next={quote(request.url.path)}", 303)


def safe_next(path: str) -> str:
    """Only a path of our own, never another host."""
    own = path.startswith("/") and not path.startswith("//") and "\\" not in path
    return path if own and path.isprintable() else "/"


def log_in(services: Services, user_id: str, path: str) -> Response:
    """Give the browser its cookie. Lax: links in our e-mails work, foreign forms do not."""
    answer = RedirectResponse(safe_next(path), 303)
    answer.set_cookie(
        SESSION_COOKIE,
        issue_token(services, user_id),
        max_age=services.settings.token_ttl_s,
        httponly=True,
        samesite="lax",
        secure=services.settings.public_url.startswith("https://"),
    )
    return answer
