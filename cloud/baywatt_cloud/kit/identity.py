"""Who is asking: access tokens (JWT, HS256) and the dependencies that demand a person or a role."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from fastapi.security import OAuth2PasswordBearer
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from starlette.requests import HTTPConnection

from baywatt_cloud.kit.db import Database
from baywatt_cloud.kit.problems import ForbiddenError, UnauthorisedError
from baywatt_cloud.kit.services import Services, services_of
from baywatt_cloud.models.outbox import Secret
from baywatt_cloud.models.people import Role, User

SESSION_COOKIE = "baywatt_session"
"""The pages' cookie (HttpOnly, SameSite=Lax) holds the same access token as the API's header."""

_scheme = OAuth2PasswordBearer(tokenUrl="/auth/token", auto_error=False)


@dataclass(frozen=True, slots=True)
class Person:
    """A logged-in person."""

    id: str
    email: str
    name: str
    role: Role

    @property
    def is_operator(self) -> bool:
        """May see and do what concerns all drivers of the installation."""
        return self.role in {Role.OPERATOR, Role.ADMIN}


def issue_token(services: Services, user_id: str) -> str:
    """An access token of a person, good for `token_ttl_s`."""
    now_s = services.clock() // 1000
    claims = {"sub": user_id, "iat": now_s, "exp": now_s + services.settings.token_ttl_s}
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(services.signing_key))


def subject_of(services: Services, token: str) -> str:
    """The person's id in an access token; raises UnauthorisedError."""
    try:
        decoded = jwt.decode(token, OctKey.import_key(services.signing_key), algorithms=["HS256"])
        registry = jwt.JWTClaimsRegistry(
            now=lambda: services.clock() // 1000,
            sub={"essential": True},
            exp={"essential": True},
        )
        registry.validate(decoded.claims)
    except (JoseError, ValueError) as error:
        raise UnauthorisedError("the access token is not valid any more") from error
    return str(decoded.claims["sub"])


def token_of(connection: HTTPConnection) -> str | None:
    """The access token of a request: header, else the pages' cookie."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    return connection.cookies.get(SESSION_COOKIE)


async def person_of(services: Services, token: str | None) -> Person:
    """The active person behind a token; raises UnauthorisedError."""
    if not token:
        raise UnauthorisedError("send an access token from POST /auth/token")
    subject = subject_of(services, token)
    async with services.database.read() as db:
        user = await db.get(User, subject)
    if user is None or not user.active:
        raise UnauthorisedError("this account does not exist any more")
    return Person(user.id, user.email, user.name, Role(user.role))


async def _current(
    connection: HTTPConnection, _documented: Annotated[str | None, Depends(_scheme)]
) -> Person:
    return await person_of(services_of(connection), token_of(connection))


CurrentUser = Annotated[Person, Depends(_current)]
"""Any logged-in person, else 401."""


def require(*roles: Role) -> Callable[[Person], Awaitable[Person]]:
    """A dependency that lets only these roles through, else 403."""

    async def check(person: CurrentUser) -> Person:
        if person.role not in roles:
            raise ForbiddenError(f"this is for the role {' or '.join(roles)}")
        return person

    return check


OperatorUser = Annotated[Person, Depends(require(Role.OPERATOR, Role.ADMIN))]
"""An operator or administrator, else 401 or 403."""

AdminUser = Annotated[Person, Depends(require(Role.ADMIN))]
"""An administrator, else 401 or 403."""


async def signing_key(database: Database, configured: str | None) -> bytes:
    """The key that signs access tokens: configured, else minted once and kept in the database."""
    if configured:
        return configured.encode()
    async with database.write() as db:
        row = await db.get(Secret, "access-token")
        if row is None:
            row = Secret(name="access-token", value=secrets.token_hex(32))
            db.add(row)
    return row.value.encode()
