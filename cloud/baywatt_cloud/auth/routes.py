"""/auth: register, log in, see oneself, add cards."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.security import OAuth2PasswordRequestForm
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.auth import repository, service
from baywatt_cloud.auth.schemas import AccessToken, Card, CardRequest, Me, Registration
from baywatt_cloud.kit.identity import CurrentUser, issue_token
from baywatt_cloud.kit.problems import NotFoundError, UnauthorisedError, responses
from baywatt_cloud.kit.services import NowMs, ReadDb, Use
from baywatt_cloud.kit.transactional import TransactionalRoute, Unit, WriteDb
from baywatt_cloud.models import User

router = APIRouter(prefix="/auth", tags=["auth"], route_class=TransactionalRoute)


async def _describe(db: AsyncSession, user_id: str) -> Me:
    user = await db.get_one(User, user_id)
    tokens = await repository.tokens_of(db, user_id)
    return Me(
        user_id=user.id,
        email=user.email,
        name=user.name,
        role=user.role,
        app_token=next(token.uid for token in tokens if token.kind == "app"),
        cards=[token.uid for token in tokens if token.kind == "card"],
    )


@router.post("/register", status_code=201, responses=responses(service.EmailTakenError))
async def register(body: Registration, unit: Unit, now_ms: NowMs) -> Me:
    """Open a driver's account."""
    password_hash = await service.hash_password(body.password)
    db = await unit.session()
    user = await service.add_user(db, body.email, password_hash, now_ms, name=body.name)
    return await _describe(db, user.id)


@router.post("/token", responses=responses(UnauthorisedError))
async def token(form: Annotated[OAuth2PasswordRequestForm, Depends()], use: Use) -> AccessToken:
    """Log in with e-mail and password (OAuth2 password form)."""
    user = await service.check_password(use.database, form.username, form.password)
    return AccessToken(access_token=issue_token(use, user.id), expires_in=use.settings.token_ttl_s)


@router.get("/me", responses=responses(UnauthorisedError))
async def me(person: CurrentUser, db: ReadDb) -> Me:
    """Who I am and by which tokens sites know me."""
    return await _describe(db, person.id)


@router.post(
    "/tokens",
    status_code=201,
    responses=responses(UnauthorisedError, service.CardTakenError),
)
async def add_card(body: CardRequest, person: CurrentUser, db: WriteDb, now_ms: NowMs) -> Card:
    """Register an RFID card of mine; sites learn of it within seconds."""
    made = await service.add_card(db, person.id, body.uid, now_ms)
    return Card(token_id=made.id, uid=made.uid)


@router.delete(
    "/tokens/{token_id}", status_code=204, responses=responses(UnauthorisedError, NotFoundError)
)
async def remove_card(token_id: str, person: CurrentUser, db: WriteDb) -> Response:
    """Forget a card of mine."""
    await service.remove_card(db, person.id, token_id)
    return Response(status_code=204)
