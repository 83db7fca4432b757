"""Great circles. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

EARTH_RADIUS_M = 6_371_008.8


@dataclass(frozen=True, slots=True)
class Point:
    """A place in WGS 84 degrees."""

    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class Box:
    """Degrees around a point; `wraps` when it crosses the 180th meridian or a pole."""

    south: float
    north: float
    west: float
    east: float
    wraps: bool


def distance_m(a: Point, b: Point) -> int:
    """The haversine distance in metres."""
    lat_a, lat_b = math.radians(a.latitude), math.radians(b.latitude)
    half_lat = (lat_b - lat_a) / 2
    half_lon = math.radians(b.longitude - a.longitude) / 2
    h = math.sin(half_lat) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin(half_lon) ** 2
    return round(2 * EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(h))))


def box_around(centre: Point, radius_m: int) -> Box:
    """A box that holds every point within the radius (and some more)."""
    angle = math.degrees(radius_m / EARTH_RADIUS_M)
    south, north = centre.latitude - angle, centre.latitude + angle
    if south <= -90 or north >= 90:
        return Box(max(south, -90), min(north, 90), -180, 180, wraps=True)
    ratio = math.sin(math.radians(angle)) / math.cos(math.radians(centre.latitude))
    if ratio >= 1:
        return Box(south, north, -180, 180, wraps=True)
    width = math.degrees(math.asin(ratio))
    west, east = centre.longitude - width, centre.longitude + width
    return Box(south, north, west, east, wraps=west < -180 or east > 180)
