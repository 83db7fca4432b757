"""GET /events: the journal as JSON lines, each the envelope that the cloud gets too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from baywatt_edge.control.http import HttpError
from baywatt_edge.control.reader import JournalReader
from baywatt_edge.journal import Stream

_PAGE = 200
_KEEP_ALIVE_S = 15.0


class EventsQuery(BaseModel):
    """Where to begin and where to end. `tail` counts back from the newest row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    after: int = Field(default=0, ge=0, le=2**63 - 1)
    limit: int | None = Field(default=None, ge=1, le=1_000_000)
    tail: int | None = Field(default=None, ge=0, le=1_000_000)
    follow: bool = False
    stream: Stream = Stream.EVENTS


def parse_query(query: Mapping[str, str]) -> EventsQuery:
    """The checked query; a bare `follow` means true. Raises HttpError 400."""
    given = {
        name: (value or "true") if name == "follow" else value for name, value in query.items()
    }
    try:
        return EventsQuery.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise HttpError(400, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


async def event_lines(journal: JournalReader, query: EventsQuery) -> AsyncGenerator[bytes, None]:
    """Pages of JSON lines; with `follow` for ever.

    While nothing happens an empty line every 15 s finds out whether the client is still there.
    """
    after = _begin(journal, query)
    left = query.limit
    while left is None or left > 0:
        rows = await journal.read(query.stream, after, _PAGE if left is None else min(left, _PAGE))
        if rows:
            after = rows[-1].seq
            left = None if left is None else left - len(rows)
            events = (row.to_event(journal.site, journal.epoch) for row in rows)
            yield b"".join(event.model_dump_json().encode() + b"\n" for event in events)
        elif not query.follow:
            return
        elif not await _more(journal, query.stream, after):
            yield b"\n"


def _begin(journal: JournalReader, query: EventsQuery) -> int:
    if query.tail is None:
        return query.after
    return max(query.after, journal.last(query.stream) - query.tail)


async def _more(journal: JournalReader, stream: Stream, after: int) -> bool:
    try:
        async with asyncio.timeout(_KEEP_ALIVE_S):
            await journal.wait_beyond(stream, after)
    except TimeoutError:
        return False
    return True
