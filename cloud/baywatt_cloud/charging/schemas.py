"""Requests and answers of /charging."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from baywatt_cloud.kit.clock import Moment

Ref = Annotated[str, Field(min_length=1, max_length=600, pattern=r"^[^\x00-\x1f]+$")]
ShortRef = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f]+$")]


class BookingRequest(BaseModel):
    """Either a quote (it knows the rest) or a connector and/or a bay with a window."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "evse_id": "harbour.1",
                    "bay_id": "harbour.A1",
                    "from": "2026-09-21T17:00:00Z",
                    "to": "2026-09-21T19:00:00Z",
                }
            ]
        }
    )
    quote_id: ShortRef | None = None
    evse_id: Ref | None = None
    bay_id: Ref | None = None
    from_: Annotated[Moment | None, Field(alias="from")] = None
    to: Moment | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.quote_id is None:
            if self.evse_id is None and self.bay_id is None:
                raise ValueError("name a quote_id, an evse_id or a bay_id")
            if self.from_ is None or self.to is None:
                raise ValueError("from and to are needed without a quote_id")
        return self


class ExtendRequest(BaseModel):
    """The new end of a booking."""

    to: Moment


class BookingView(BaseModel):
    """A booking as its driver sees it. `sync` tells whether the site holds it already."""

    model_config = ConfigDict(populate_by_name=True)

    booking_id: str
    status: str
    sync: Literal["pending", "applied"]
    pin: str
    station_id: str
    evse_id: str | None
    bay_id: str | None
    from_: Annotated[str, Field(alias="from")]
    to: str
    session_id: str | None
    quote_id: str | None
    reason: str


class BookingPage(BaseModel):
    """Bookings, newest window first."""

    items: list[BookingView]
    next: str | None = None


class StartRequest(BaseModel):
    """Start at the booked connector, or spontaneously at a free one."""

    booking_id: ShortRef | None = None
    evse_id: Ref | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.booking_id is None) == (self.evse_id is None):
            raise ValueError("name either a booking_id or an evse_id")
        return self


class StopRequest(BaseModel):
    """End a session of mine."""

    session_id: ShortRef


class CommandAccepted(BaseModel):
    """The site has been asked; GET /charging/commands/{command_id} tells what it answered."""

    command_id: str


class CommandView(BaseModel):
    """A command and its answer."""

    command_id: str
    kind: str
    status: str
    reason: str
    session_id: str | None


class SessionView(BaseModel):
    """A session as it stands."""

    session_id: str
    status: str
    station_id: str
    evse_id: str
    booking_id: str | None
    authorised_at: str
    started_at: str | None
    stopped_at: str | None
    ended_at: str | None
    begin_wh: int | None
    end_wh: int | None
    energy_wh: int
    power_w: int
    limit_ma: int | None
    stop_reason: str
    billed_elsewhere: bool


class SessionPage(BaseModel):
    """Sessions, newest first."""

    items: list[SessionView]
    next: str | None = None


class WhyLimit(BaseModel):
    """From this moment on the connector could draw so much, because of a rule."""

    at: str
    limit_ma: int
    rule: str
    reason: str


class Reading(BaseModel):
    """A meter reading that the bill rests on."""

    at: str
    context: str
    energy_wh: int
    power_w: int


class Explanation(BaseModel):
    """Why a session went as it went: limits with their rules, readings, price lines."""

    session_id: str
    status: str
    limits: list[WhyLimit]
    readings: list[Reading]
    lines: list[dict[str, Any]]
    parked: str | None
