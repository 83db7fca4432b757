"""Requests and answers of /parking."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from baywatt_cloud.charging.schemas import Ref
from baywatt_cloud.kit.clock import Moment
from baywatt_cloud.search.schemas import Location


class BayView(BaseModel):
    """A bay: `state` as its sensor says it, `unknown` while the site is not heard."""

    bay_id: str
    station_id: str
    name: str
    location: Location
    distance_m: int
    state: str
    free: bool
    evse_ids: list[str]


class BayPage(BaseModel):
    """Bays, nearest first."""

    items: list[BayView]
    next: str | None = None


class ReserveRequest(BaseModel):
    """A bay and a window."""

    model_config = ConfigDict(populate_by_name=True)

    bay_id: Ref
    from_: Annotated[Moment, Field(alias="from")]
    to: Moment
