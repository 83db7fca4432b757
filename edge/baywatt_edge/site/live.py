"""What is observed and not kept: a restart begins without it and hears it anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from baywatt_contract.clock import Instant
from baywatt_contract.grants import Grant
from baywatt_contract.messages import ReservationItem, TokenItem
from baywatt_contract.observations import (
    ConnectorObserved,
    LinkChanged,
    MeterReading,
    Quality,
)
from baywatt_contract.wishes import (
    AuthorisationQuestion,
    LimitWish,
    ReservationsHeld,
    ResetWish,
    SamplingWish,
    TokensKnown,
)


@dataclass(frozen=True, slots=True)
class Pending:
    """A question on its way to the authorities."""

    question: AuthorisationQuestion
    asked_at: Instant


@dataclass(frozen=True, slots=True)
class Live:
    """Class C: never written, always replaceable."""

    observed: Mapping[int, ConnectorObserved] = field(default_factory=dict)
    readings: Mapping[str, MeterReading] = field(default_factory=dict)  # newest good one
    tagged: Mapping[str, MeterReading] = field(default_factory=dict)  # answers to ReadMeter
    asked: Mapping[str, int] = field(default_factory=dict)  # ReadMeter tag → asked at, mono ms
    first_asked: Mapping[str, int] = field(default_factory=dict)
    links: Mapping[str, bool] = field(default_factory=dict)
    link_details: Mapping[str, str] = field(default_factory=dict)
    pending: Mapping[str, Pending] = field(default_factory=dict)
    reservations: tuple[ReservationItem, ...] = ()
    tokens: Mapping[str, TokenItem] = field(default_factory=dict)
    revisions: Mapping[str, int] = field(default_factory=dict)
    limits: Mapping[tuple[int, str], LimitWish] = field(default_factory=dict)
    grants: Mapping[int, Grant] = field(default_factory=dict)
    sample_interval_s: int = 30
    sample_aligned_s: int = 0
    power_sampled: Mapping[str, int] = field(default_factory=dict)  # series → mono ms
    unlocks: frozenset[int] = frozenset()  # plugs to release once their contactor is open
    storage_full: bool = False
    reset: ResetWish | None = None
    reset_at: Instant | None = None


def note(live: Live, input_: object) -> Live:
    """`live` with the observation or setting in `input_` taken in."""
    match input_:
        case ConnectorObserved():
            return replace(live, observed=put(live.observed, input_.connector_id, input_))
        case MeterReading():
            return _note_reading(live, input_)
        case LinkChanged():
            details = put(live.link_details, input_.device_id, input_.detail)
            links = put(live.links, input_.device_id, input_.up)
            return replace(live, links=links, link_details=details)
        case ReservationsHeld():
            revisions = put(live.revisions, "reservations", input_.rev)
            return replace(live, reservations=input_.items, revisions=revisions)
        case TokensKnown():
            tokens = {item.hash: item for item in input_.items}
            return replace(live, tokens=tokens, revisions=put(live.revisions, "tokens", input_.rev))
        case LimitWish():
            return replace(
                live, limits=put(live.limits, (input_.connector_id, input_.source), input_)
            )
        case SamplingWish():
            return replace(
                live, sample_interval_s=input_.interval_s, sample_aligned_s=input_.aligned_s
            )
        case _:
            return live


def _note_reading(live: Live, reading: MeterReading) -> Live:
    if reading.quality is not Quality.GOOD:
        return live
    live = replace(live, readings=put(live.readings, reading.device_id, reading))
    if reading.requested_by in live.asked:
        return replace(live, tagged=put(live.tagged, reading.requested_by, reading))
    return live


def put(mapping: Mapping[Any, Any], key: Any, value: Any) -> dict[Any, Any]:  # noqa: ANN401
    """A copy of `mapping` with one entry set."""
    return {**mapping, key: value}


def without(mapping: Mapping[Any, Any], *keys: Any) -> dict[Any, Any]:  # noqa: ANN401
    """A copy of `mapping` without these entries."""
    return {key: value for key, value in mapping.items() if key not in keys}
