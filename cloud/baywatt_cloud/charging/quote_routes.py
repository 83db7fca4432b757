"""POST /charging/quote."""

from __future__ import annotations

from typing import Annotated, Any, Self

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.billing import tariffs
from baywatt_cloud.billing.defaults import add_default_tariff
from baywatt_cloud.billing.errors import CannotBillError
from baywatt_cloud.charging import bookings, errors
from baywatt_cloud.charging.quote import Estimate, Plan, estimate
from baywatt_cloud.charging.schemas import Ref
from baywatt_cloud.charging.tariffs import tariff_at
from baywatt_cloud.kit.clock import Moment, to_ms
from baywatt_cloud.kit.identity import CurrentUser
from baywatt_cloud.kit.ids import new_id
from baywatt_cloud.kit.problems import (
    ConflictError,
    NotFoundError,
    UnauthorisedError,
    UnprocessableError,
    responses,
)
from baywatt_cloud.kit.services import NowMs
from baywatt_cloud.kit.transactional import TransactionalRoute, WriteDb
from baywatt_cloud.models import Quote, Tariff
from baywatt_contract.clock import format_utc_ms
from baywatt_contract.tariff import PricingError

router = APIRouter(prefix="/charging", tags=["charging"], route_class=TransactionalRoute)

VALID_FOR_MS = 15 * 60_000


class NoPriceError(ConflictError):
    """The site's tariff cannot price this window; the operator must mend it."""

    kind, title = "no-price", "There is no price for this"


class QuoteRequest(BaseModel):
    """A connector or a bay, a window, and how much is wanted."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "evse_id": "harbour.1",
                    "from": "2026-09-21T17:00:00Z",
                    "to": "2026-09-21T19:00:00Z",
                    "energy_wh": 20000,
                }
            ]
        }
    )
    evse_id: Ref | None = None
    bay_id: Ref | None = None
    from_: Annotated[Moment, Field(alias="from")]
    to: Moment
    energy_wh: Annotated[int, Field(ge=1, le=1_000_000)] | None = None

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.evse_id is None and self.bay_id is None:
            raise ValueError("name an evse_id or a bay_id")
        return self


class QuoteView(BaseModel):
    """What it will likely cost, and the most it can cost; `lines` explain the likely price."""

    quote_id: str
    likely_minor: int
    worst_minor: int
    currency: str
    valid_until: str
    lines: list[dict[str, Any]]
    worst_lines: list[dict[str, Any]]


@router.post(
    "/quote",
    status_code=201,
    responses=responses(
        UnauthorisedError, NotFoundError, errors.NotBookableError, errors.WindowError, NoPriceError,
        UnprocessableError,
    ),
)  # fmt: skip
async def quote(body: QuoteRequest, person: CurrentUser, db: WriteDb, now_ms: NowMs) -> QuoteView:
    """The price before the plug goes in. Good for 15 minutes; book with its `quote_id`."""
    made = await make_quote(db, person.id, body, now_ms)
    return QuoteView(
        quote_id=made.id,
        likely_minor=made.likely_minor,
        worst_minor=made.worst_minor,
        currency=made.currency,
        valid_until=format_utc_ms(made.valid_until_ms),
        lines=made.body["likely"]["lines"],
        worst_lines=made.body["worst"]["lines"],
    )


async def make_quote(db: AsyncSession, user_id: str, body: QuoteRequest, now_ms: int) -> Quote:
    """Price the window and keep the promise; raises ProblemError."""
    from_ms, to_ms_ = to_ms(body.from_), to_ms(body.to)
    bookings.check_window(from_ms, to_ms_, now_ms)
    place = await bookings.find_place(db, body.evse_id, body.bay_id)
    tariff = await tariff_at(db, place.site.id, from_ms)
    if tariff is None:
        tariff = await add_default_tariff(db, None, now_ms)
    power_w = place.connector.max_power_w if place.connector else 0
    plan = Plan.of_ms(place.site.time_zone, from_ms, to_ms_, power_w, body.energy_wh)
    found = _estimate(tariff, plan) if place.connector else None
    made = Quote(
        id=new_id("qu", now_ms),
        user_id=user_id,
        site_id=place.site.id,
        evse_id=place.connector.id if place.connector else None,
        bay_id=place.bay.id if place.bay else None,
        from_ms=from_ms,
        to_ms=to_ms_,
        energy_wh=body.energy_wh,
        tariff_id=tariff.id,
        tariff_version=tariff.version,
        currency=tariff.currency,
        likely_minor=found.likely.gross_minor if found else 0,
        worst_minor=found.worst.gross_minor if found else 0,
        body=_body(tariff, found),
        valid_until_ms=now_ms + VALID_FOR_MS,
        created_ms=now_ms,
    )
    db.add(made)
    await db.flush()
    return made


def _estimate(tariff: Tariff, plan: Plan) -> Estimate:
    try:
        return estimate(tariffs.read(tariff), plan)
    except (CannotBillError, PricingError) as error:
        raise NoPriceError(str(error)) from error


def _body(tariff: Tariff, found: Estimate | None) -> dict[str, Any]:
    """A bay without a connector costs nothing so far."""
    empty: dict[str, Any] = {"lines": []}
    return {
        "likely": found.likely.as_json() if found else empty,
        "worst": found.worst.as_json() if found else empty,
        "tariff_hash": tariff.hash,
    }
