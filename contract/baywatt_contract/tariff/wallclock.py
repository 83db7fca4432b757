"""Where the wall clock of a site may change an answer, as instants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from baywatt_contract.tariff.errors import BadTimeZoneError
from baywatt_contract.tariff.model import Restrictions, Tariff

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_MICRO = timedelta(microseconds=1)
_MIDNIGHT = time(0)


def zone(name: str) -> ZoneInfo:
    """The zone of that IANA name; raises BadTimeZoneError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadTimeZoneError(
            f"time zone {name!r} is not known: use an IANA name such as Europe/Berlin"
        ) from error


def micros(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - EPOCH) // _MICRO


def wall(at_micros: int, site: ZoneInfo) -> datetime:
    """The site's wall clock at an instant."""
    return (EPOCH + at_micros * _MICRO).astimezone(site)


def boundaries(tariff: Tariff, start: datetime, end: datetime, site: ZoneInfo) -> list[int]:
    """Every instant in (start, end), in order, at which a time, date or weekday may begin or end.

    A wall time that occurs twice gives both instants; one that is skipped is covered by the
    instant at which the offset changes.
    """
    limits = [each.limits for each in tariff.elements if each.limits.looks_at_the_clock]
    if not limits:
        return []
    found = {micros(each) for each in _offset_changes(start, end, site)}
    for day in _days(start, end, site):
        for at in _times(limits):
            local = datetime.combine(day, at, site)
            found.update(micros(local.replace(fold=fold).astimezone(UTC)) for fold in (0, 1))
    return sorted(each for each in found if micros(start) < each < micros(end))


def _times(limits: Iterable[Restrictions]) -> set[time]:
    given = {at for each in limits for at in (each.start_time, each.end_time) if at is not None}
    return given | {_MIDNIGHT}


def _days(start: datetime, end: datetime, site: ZoneInfo) -> Iterator[date]:
    day = start.astimezone(site).date() - _DAY
    last = end.astimezone(site).date() + _DAY
    while day <= last:
        yield day
        day += _DAY


def _offset_changes(start: datetime, end: datetime, site: ZoneInfo) -> Iterator[datetime]:
    low = start.astimezone(UTC)
    while low < end:
        high = min(low + _DAY, end.astimezone(UTC))
        if _offset(low, site) != _offset(high, site):
            yield _change_between(low, high, site)
        low = high


def _change_between(low: datetime, high: datetime, site: ZoneInfo) -> datetime:
    before = _offset(low, site)
    while high - low > _MICRO:
        middle = low + (high - low) / 2
        low, high = (middle, high) if _offset(middle, site) == before else (low, middle)
    return high


def _offset(moment: datetime, site: ZoneInfo) -> timedelta | None:
    return moment.astimezone(site).utcoffset()
