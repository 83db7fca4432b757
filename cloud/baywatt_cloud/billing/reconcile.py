"""Prove that energy = CDR = invoice = payment, session by session, and list what differs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.billing.gateway import Intent, PaymentGateway
from baywatt_cloud.billing.models import (
    Cdr,
    Hold,
    HoldState,
    Invoice,
    LegalEntity,
    ParkedBill,
    Payment,
    PaymentState,
)
from baywatt_cloud.models import BLOCKING, Booking, ChargingSession, MeterSample


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not add up."""

    kind: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was compared and what differs."""

    sessions: int
    billed_elsewhere: int
    energy_wh: int
    invoiced_minor: dict[str, int]
    paid_minor: dict[str, int]
    findings: list[Finding]

    @property
    def ok(self) -> bool:
        """Whether every ledger agrees."""
        return not self.findings


async def reconcile(db: AsyncSession, gateway: PaymentGateway | None) -> Report:
    """Compare all ledgers; without a gateway its book is left out."""
    cdrs = {row.session_id: row for row in await db.scalars(select(Cdr))}
    invoices = {row.cdr_id: row for row in await db.scalars(select(Invoice))}
    payments = {row.invoice_id: row for row in await db.scalars(select(Payment))}
    parked = {row.session_id: row for row in await db.scalars(select(ParkedBill))}
    holds = {row.id: row for row in await db.scalars(select(Hold))}
    sessions = list(
        await db.scalars(select(ChargingSession).where(ChargingSession.completed_ms.is_not(None)))
    )
    found: list[Finding] = []
    for session in sessions:
        cdr = cdrs.get(session.id)
        found.extend(_of_session(session, cdr, parked.get(session.id)))
        if cdr is not None:
            found.extend(await _of_meter(db, cdr))
            found.extend(_of_cdr(cdr, invoices.get(cdr.id), payments, holds))
    found.extend(await _of_numbers(db))
    found.extend(await _of_holds(db, holds))
    if gateway is not None:
        found.extend(_of_gateway(holds, {each.id: each for each in await gateway.all()}))
    return Report(
        sessions=len(sessions),
        billed_elsewhere=sum(session.bill != "cloud" for session in sessions),
        energy_wh=sum(cdr.energy_wh for cdr in cdrs.values()),
        invoiced_minor=_sums((row.currency, row.gross_minor) for row in invoices.values()),
        paid_minor=_sums((row.currency, row.paid_minor) for row in payments.values()),
        findings=found,
    )


def _sums(amounts: Iterator[tuple[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for currency, minor in amounts:
        sums[currency] = sums.get(currency, 0) + minor
    return sums


def _of_session(
    session: ChargingSession, cdr: Cdr | None, parked: ParkedBill | None
) -> Iterator[Finding]:
    if session.bill != "cloud":
        if cdr is not None:
            yield Finding("billed-twice", session.id, f"{session.bill} bills it, yet it has a CDR")
        return
    if parked is not None:
        yield Finding("parked", session.id, parked.reason)
    elif cdr is None:
        yield Finding("not-billed", session.id, "completed, but it has no CDR")
    elif session.begin_wh is not None and session.end_wh is not None:
        delivered = session.end_wh - session.begin_wh
        if delivered != cdr.energy_wh:
            yield Finding("energy", session.id, f"session {delivered} Wh, CDR {cdr.energy_wh} Wh")


async def _of_meter(db: AsyncSession, cdr: Cdr) -> list[Finding]:
    registers = list(
        await db.scalars(
            select(MeterSample.energy_wh).where(MeterSample.session_id == cdr.session_id)
        )
    )
    span = max(registers) - min(registers) if registers else 0
    if span == cdr.energy_wh == cdr.end_wh - cdr.begin_wh:
        return []
    detail = f"readings span {span} Wh, CDR {cdr.energy_wh} Wh"
    return [Finding("energy", cdr.session_id, detail)]


def _of_cdr(
    cdr: Cdr, invoice: Invoice | None, payments: dict[str, Payment], holds: dict[str, Hold]
) -> Iterator[Finding]:
    if invoice is None:
        yield Finding("no-invoice", cdr.id, "the CDR has no invoice")
        return
    number = invoice.body["number"]
    if invoice.body["energy_wh"] != cdr.energy_wh:
        yield Finding("energy", number, f"{invoice.body['energy_wh']} Wh, CDR {cdr.energy_wh} Wh")
    lines = sum(line["amount_minor"] for line in invoice.body["lines"])
    if (lines, lines + invoice.tax_minor) != (invoice.net_minor, invoice.gross_minor):
        yield Finding("sum", number, "lines, tax and total do not add up")
    yield from _of_payment(invoice, number, payments.get(invoice.id), holds)


def _of_payment(
    invoice: Invoice, number: str, payment: Payment | None, holds: dict[str, Hold]
) -> Iterator[Finding]:
    if payment is None:
        yield Finding("not-paid", number, "no payment was tried yet")
        return
    if payment.state != PaymentState.SUCCEEDED:
        due = invoice.gross_minor - payment.paid_minor
        yield Finding("not-paid", number, f"{due} still due: {payment.reason}")
    elif payment.paid_minor != invoice.gross_minor:
        yield Finding("paid", number, f"{payment.paid_minor} paid of {invoice.gross_minor}")
    captured = sum(holds[part["hold_id"]].captured_minor for part in payment.parts)
    if captured != payment.paid_minor:
        yield Finding("paid", number, f"{payment.paid_minor} booked, {captured} captured")


async def _of_numbers(db: AsyncSession) -> list[Finding]:
    found = []
    for issuer in await db.scalars(select(LegalEntity)):
        numbers = set(
            await db.scalars(select(Invoice.number).where(Invoice.entity_id == issuer.id))
        )
        missing = set(range(1, issuer.next_number)) ^ numbers
        if missing:
            detail = f"numbers without exactly one invoice: {sorted(missing)[:10]}"
            found.append(Finding("number-gap", issuer.id, detail))
    return found


async def _of_holds(db: AsyncSession, holds: dict[str, Hold]) -> list[Finding]:
    """A hold stays open only while its booking or session may still need it."""
    needed = set(
        await db.scalars(select(Booking.hold_id).where(Booking.status.in_(BLOCKING)))
    ) | set(
        await db.scalars(
            select(ChargingSession.hold_id).where(ChargingSession.completed_ms.is_(None))
        )
    )
    return [
        Finding("hold-open", hold.id, f"{hold.amount_minor} held for {hold.reference}, not needed")
        for hold in holds.values()
        if hold.state == HoldState.AUTHORISED and hold.id not in needed
    ]


def _of_gateway(holds: dict[str, Hold], intents: dict[str, Intent]) -> Iterator[Finding]:
    for hold in holds.values():
        intent = intents.pop(hold.intent_id, None)
        if intent is None:
            yield Finding("gateway", hold.id, "the gateway does not know its intent")
        elif (intent.state, intent.captured_minor) != (hold.state, hold.captured_minor):
            yield Finding(
                "gateway",
                hold.id,
                f"here {hold.state} {hold.captured_minor}, "
                f"there {intent.state} {intent.captured_minor}",
            )
    for intent in intents.values():
        if intent.state == HoldState.AUTHORISED:
            yield Finding("gateway", intent.id, "held there, unknown here: release it")
