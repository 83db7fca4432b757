"""`location=lat,lon` in a query."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query

from baywatt_cloud.kit.problems import UnprocessableError
from baywatt_cloud.search.geo import Point


class BadLocationError(UnprocessableError):
    """The location is none: write `latitude,longitude` in degrees."""

    kind, title = "bad-location", "This location is not valid"


def _parse(
    location: Annotated[
        str, Query(max_length=60, description="latitude,longitude", examples=["53.55,9.97"])
    ],
) -> Point:
    try:
        latitude, longitude = (float(part) for part in location.split(","))
    except ValueError as error:
        raise BadLocationError("write location=53.55,9.97") from error
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise BadLocationError("latitude -90 to 90, longitude -180 to 180")
    return Point(latitude, longitude)


Near = Annotated[Point, Depends(_parse)]
"""Where the driver is."""
