"""Sessions as people see them: now, live and explained."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.charging import repository
from baywatt_cloud.charging.schemas import Explanation, Reading, SessionView, WhyLimit
from baywatt_cloud.kit.clock import text_or_none
from baywatt_cloud.kit.live import LiveHub
from baywatt_cloud.models import ChargingSession
from baywatt_contract.clock import format_utc_ms

STALE_MS = 10_000
OVER = frozenset({"ended", "aborted"})


def session_view(row: ChargingSession) -> SessionView:
    """The stored state of a session."""
    return SessionView(
        session_id=row.id,
        status=row.status,
        station_id=row.site_id,
        evse_id=row.evse_id,
        booking_id=row.booking_id,
        authorised_at=format_utc_ms(row.authorised_ms),
        started_at=text_or_none(row.started_ms),
        stopped_at=text_or_none(row.stopped_ms),
        ended_at=text_or_none(row.ended_ms),
        begin_wh=row.begin_wh,
        end_wh=row.end_wh,
        energy_wh=delivered_wh(row),
        power_w=row.power_w or 0,
        limit_ma=row.limit_ma,
        stop_reason=row.stop_reason,
        billed_elsewhere=row.bill != "cloud",
    )


def delivered_wh(row: ChargingSession) -> int:
    """Energy of the transaction so far, from stored readings."""
    if row.begin_wh is None or row.last_wh is None:
        return 0
    return row.last_wh - row.begin_wh


def live_view(row: ChargingSession, hub: LiveHub, now_ms: int) -> dict[str, Any]:
    """One message of the live stream: what the site shows now, else what is stored."""
    message: dict[str, Any] = {
        "session_id": row.id,
        "status": row.status,
        "evse_id": row.evse_id,
        "at": format_utc_ms(now_ms),
        "stale": True,
        "power_w": row.power_w or 0,
        "current_ma": [0, 0, 0],
        "energy_wh": delivered_wh(row),
        "offered_ma": 0,
        "limit_ma": row.limit_ma or 0,
        "reason": "",
        "soc_percent": None,
    }
    heard = hub.latest(row.site_id)
    if heard is None:
        return message
    live, received_ms = heard
    connector = live.connectors.get(row.connector)
    if connector is None or connector.session != row.id:
        return message
    shown = connector.model_dump(mode="json", exclude={"status", "session"})
    if shown["energy_wh"] is None:
        del shown["energy_wh"]
    stale = now_ms - received_ms > STALE_MS
    return message | shown | {"at": live.at, "stale": stale, "connector_status": connector.status}


async def explain(
    db: AsyncSession, row: ChargingSession, lines: list[dict[str, Any]]
) -> Explanation:
    """Every limit with its rule, every reading, every price line."""
    limits = await repository.limits_of(db, row)
    samples = await repository.samples_of(db, row.id)
    return Explanation(
        session_id=row.id,
        status=row.status,
        limits=[
            WhyLimit(
                at=format_utc_ms(each.time_ms),
                limit_ma=each.limit_ma,
                rule=each.rule,
                reason=each.reason,
            )
            for each in limits
        ],
        readings=[
            Reading(
                at=format_utc_ms(each.time_ms),
                context=each.context,
                energy_wh=each.energy_wh,
                power_w=each.power_w,
            )
            for each in samples
        ],
        lines=lines,
        parked=await repository.parked_reason(db, row),
    )
