"""Answers of /search."""

from __future__ import annotations

from pydantic import BaseModel


class Location(BaseModel):
    """WGS 84 degrees."""

    latitude: float
    longitude: float


class EvseView(BaseModel):
    """A connector of a station; status as in OCPP 1.6, `Unknown` while the site is not heard."""

    evse_id: str
    status: str
    bay_id: str | None
    bay_state: str | None
    plug: str
    current_kind: str
    max_power_w: int
    free: bool


class StationView(BaseModel):
    """A site near the driver."""

    station_id: str
    name: str
    location: Location
    distance_m: int
    time_zone: str
    currency: str
    online: bool
    evses: list[EvseView]


class StationPage(BaseModel):
    """Stations, nearest first."""

    items: list[StationView]
    next: str | None = None
