"""The site's state as a journal document: a short cut, rebuilt whenever it cannot be read."""

from __future__ import annotations

import logging
from typing import Any

from pydantic import TypeAdapter, ValidationError

from baywatt_edge.journal import Journal, Stream
from baywatt_edge.site import SiteState, evolve

log = logging.getLogger(__name__)

SNAPSHOT_EVERY = 200
_KEY = "snapshot:site"
_VERSION = 1
_PAGE = 500
_STATE = TypeAdapter(SiteState)


def snapshot_document(state: SiteState, seq: int) -> dict[str, Any]:
    """The document that holds `state` as of event `seq`."""
    dumped = _STATE.dump_python(state, mode="json")
    return {_KEY: {"version": _VERSION, "seq": seq, "state": dumped}}


async def restore(journal: Journal) -> tuple[SiteState, int]:
    """The state after the last committed event, and that event's sequence number."""
    state, seq = _read(await journal.document(_KEY))
    while rows := await journal.read(Stream.EVENTS, seq, _PAGE):
        for row in rows:
            payload = row.payload()
            if payload is not None:
                state = evolve(state, payload, row.at)
            seq = row.seq
    return state, seq


def _read(document: Any) -> tuple[SiteState, int]:  # noqa: ANN401 - JSON
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        return SiteState(), 0
    try:
        return _STATE.validate_python(document["state"], strict=False), int(document["seq"])
    except (ValidationError, KeyError, ValueError) as error:
        log.warning("the snapshot cannot be read (%s): rebuilding from the journal", error)
        return SiteState(), 0
