"""Make the charge detail record and the invoice of a finished session, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.billing import tariffs
from baywatt_cloud.billing.charges import Bill, Charge, bill
from baywatt_cloud.billing.defaults import entity
from baywatt_cloud.billing.errors import CannotBillError
from baywatt_cloud.billing.models import Cdr, Invoice
from baywatt_cloud.billing.visit import Limit, Reading, Stretch, stretches
from baywatt_cloud.kit.clock import to_ms
from baywatt_cloud.kit.ids import new_id
from baywatt_cloud.models import (
    ChargingSession,
    LimitChange,
    MeterSample,
    ParkedSession,
    Site,
    Tariff,
)
from baywatt_contract.clock import ClockQuality, format_utc_ms
from baywatt_contract.tariff import Priced, PricingError, price
from baywatt_contract.tariff import Tariff as Ocpi
from baywatt_contract.tariff.border import to_json

_TABLE_ROWS = 8


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a session left behind: its readings and limits, and the site it was at."""

    session: ChargingSession
    site: Site
    user_id: str
    readings: list[Reading]
    limits: list[Limit]


async def gather(db: AsyncSession, session: ChargingSession) -> Evidence:
    """The evidence, if it is complete; raises CannotBillError."""
    parked = await db.scalar(
        select(ParkedSession.reason)
        .where(ParkedSession.session_id == session.id, ParkedSession.site_id == session.site_id)
    )  # fmt: skip
    if parked is not None:
        raise CannotBillError(f"an event of the session could not be applied: {parked}")
    if session.user_id is None:
        raise CannotBillError(f"nobody to bill: token {session.token!r} belongs to no account")
    readings = await _readings(db, session)
    _check_registers(session, readings)
    site = await db.get_one(Site, session.site_id)
    limits = await _limits(db, session)
    return Evidence(session, site, session.user_id, readings, limits)


async def _readings(db: AsyncSession, session: ChargingSession) -> list[Reading]:
    rows = await db.scalars(
        select(MeterSample)
        .where(MeterSample.session_id == session.id)
        .order_by(MeterSample.time_ms, MeterSample.seq)
    )
    samples = sorted(rows, key=lambda row: (row.boot, row.mono_ms, row.seq))
    return [
        Reading(
            time_ms=row.time_ms,
            mono_ms=row.mono_ms,
            boot=row.boot,
            energy_wh=row.energy_wh,
            vehicle_requests=row.vehicle_requests,
            current_ma=sum(row.current_ma),
            context=row.context,
            ref=f"{session.site_id}:{row.epoch}:{row.seq}",
        )
        for row in samples
    ]


async def _limits(db: AsyncSession, session: ChargingSession) -> list[Limit]:
    rows = await db.scalars(
        select(LimitChange)
        .where(LimitChange.site_id == session.site_id)
        .where(
            or_(LimitChange.session_id == session.id, LimitChange.session_id.is_(None)),
            LimitChange.connector == session.connector,
            LimitChange.time_ms >= session.authorised_ms,
        )
        .order_by(LimitChange.time_ms, LimitChange.seq)
    )
    return [Limit(row.time_ms, row.limit_ma, row.rule, row.reason) for row in rows]


def _check_registers(session: ChargingSession, readings: Sequence[Reading]) -> None:
    if session.begin_wh is None or session.end_wh is None:
        raise CannotBillError("the begin or end register is missing")
    if len(readings) < 2:
        raise CannotBillError("fewer than two meter readings: begin and end are needed")
    seen = (readings[0].energy_wh, readings[-1].energy_wh)
    if seen != (session.begin_wh, session.end_wh):
        raise CannotBillError(
            f"readings run from {seen[0]} to {seen[1]} Wh, "
            f"the transaction from {session.begin_wh} to {session.end_wh} Wh"
        )


async def issue(db: AsyncSession, session: ChargingSession, now_ms: int) -> Invoice:
    """CDR and invoice of the session; raises CannotBillError before anything is written."""
    evidence = await gather(db, session)
    tariff = await tariffs.frozen_tariff(db, session)
    ocpi = tariffs.read(tariff)
    _check_clock(session, ocpi)
    found = stretches(evidence.readings, evidence.limits)
    priced = _price(ocpi, evidence.site, found)
    cdr = _cdr(evidence, tariff, found, priced, now_ms)
    db.add(cdr)
    await db.flush()
    return await _invoice(db, cdr, evidence, bill(priced), found, now_ms)


def _check_clock(session: ChargingSession, ocpi: Ocpi) -> None:
    by_the_clock = any(element.limits.looks_at_the_clock for element in ocpi.elements)
    if session.clock == ClockQuality.UNSYNCED and by_the_clock:
        raise CannotBillError("the site's clock was not set and the tariff depends on the time")


def _billable(found: Sequence[Stretch]) -> list[Stretch]:
    return [each for each in found if not each.waived]


def _price(ocpi: Ocpi, site: Site, found: Sequence[Stretch]) -> Priced:
    try:
        return price(ocpi, site.time_zone, [each.period for each in _billable(found)])
    except PricingError as error:
        raise CannotBillError(str(error)) from error


def _cdr(
    evidence: Evidence, tariff: Tariff, found: Sequence[Stretch], priced: Priced, now_ms: int
) -> Cdr:
    session, readings = evidence.session, evidence.readings
    return Cdr(
        id=new_id("cd", now_ms),
        session_id=session.id,
        site_id=session.site_id,
        user_id=evidence.user_id,
        begin_wh=readings[0].energy_wh,
        end_wh=readings[-1].energy_wh,
        energy_wh=sum(int(each.period.energy_wh) for each in found),
        begin_ms=to_ms(found[0].period.start),
        end_ms=to_ms(found[-1].period.end),
        currency=priced.currency,
        tariff_id=tariff.id,
        tariff_version=tariff.version,
        tariff_hash=tariff.hash,
        body={
            "tariff": tariff.ocpi,
            "time_zone": evidence.site.time_zone,
            "meter": session.meter,
            "estimated": session.estimated,
            "periods": [_period_json(each) for each in found],
            "price": to_json(priced),
        },
        created_ms=now_ms,
    )


def _period_json(each: Stretch) -> dict[str, Any]:
    return {
        "state": each.period.state.value,
        "start": _text(each.period.start),
        "end": _text(each.period.end),
        "energy_wh": int(each.period.energy_wh),
        "begin_wh": each.begin.energy_wh,
        "end_wh": each.end.energy_wh,
        "evidence": list(each.period.evidence),
        "waived": each.waived,
    }


async def _invoice(
    db: AsyncSession, cdr: Cdr, evidence: Evidence, made: Bill, found: Sequence[Stretch],
    now_ms: int,
) -> Invoice:  # fmt: skip
    issuer = await entity(db)
    number, issuer.next_number = issuer.next_number, issuer.next_number + 1
    body = made.as_json() | {
        "number": f"{issuer.prefix}-{number:06d}",
        "issuer": {"name": issuer.name, "address": issuer.address, "tax_id": issuer.tax_id},
        "site": {"id": evidence.site.id, "name": evidence.site.name or evidence.site.id},
        "evse_id": evidence.session.evse_id,
        "time_zone": evidence.site.time_zone,
        "meter": cdr.body["meter"],
        "estimated": cdr.body["estimated"],
        "tariff": {"id": cdr.tariff_id, "version": cdr.tariff_version, "hash": cdr.tariff_hash},
        "begin": format_utc_ms(cdr.begin_ms),
        "end": format_utc_ms(cdr.end_ms),
        "energy_wh": cdr.energy_wh,
        "readings": _table(evidence.readings),
        "waived": [
            {"from": _text(each.period.start), "to": _text(each.period.end), "reason": each.waived}
            for each in found
            if each.waived
        ],
    }
    billable = _billable(found)
    for line, charge in zip(body["lines"], made.charges, strict=True):
        line["evidence"] = _proof(charge, billable)
    invoice = Invoice(
        id=new_id("in", now_ms),
        entity_id=issuer.id,
        number=number,
        cdr_id=cdr.id,
        session_id=cdr.session_id,
        user_id=cdr.user_id,
        currency=made.currency,
        net_minor=made.total.net_minor,
        tax_minor=made.total.tax_minor,
        gross_minor=made.gross_minor,
        body=body,
        issued_ms=now_ms,
    )
    db.add(invoice)
    await db.flush()
    return invoice


def _proof(charge: Charge, billable: Sequence[Stretch]) -> dict[str, Any] | None:
    """Between which readings the line came to be."""
    used = [billable[index] for index in charge.periods]
    if not used:
        return None
    return {
        "from": _text(used[0].period.start),
        "to": _text(used[-1].period.end),
        "begin_wh": used[0].begin.energy_wh,
        "end_wh": used[-1].end.energy_wh,
        "readings": [used[0].begin.ref, used[-1].end.ref],
    }


def _table(readings: Sequence[Reading]) -> list[dict[str, Any]]:
    """First and last reading, and evenly some between."""
    count = min(_TABLE_ROWS, len(readings))
    step = Fraction(len(readings) - 1, max(1, count - 1))
    rows = [readings[round(i * step)] for i in range(count)]
    return [
        {"time": format_utc_ms(row.time_ms), "energy_wh": row.energy_wh, "context": row.context}
        for row in rows
    ]


def _text(moment: datetime) -> str:
    return format_utc_ms(to_ms(moment))
