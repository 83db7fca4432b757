"""What billing does when something happened. Each handler runs in a transaction of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.billing.errors import CannotBillError, DeclinedError
from baywatt_cloud.billing.models import (
    Hold,
    HoldState,
    Invoice,
    ParkedBill,
    Payment,
    PaymentState,
)
from baywatt_cloud.billing.payments import GatewayPayments
from baywatt_cloud.billing.record import issue
from baywatt_cloud.kit.domain import emit, subscribe
from baywatt_cloud.models import Booking, ChargingSession, DomainEvent


def register(payments: GatewayPayments) -> None:
    """Listen for finished sessions and issued invoices."""
    subscribe("billing.issue", ["ChargingCompleted"], partial(on_completed, payments))
    subscribe("billing.collect", ["InvoiceIssued"], partial(on_issued, payments))


async def on_completed(payments: GatewayPayments, db: AsyncSession, event: DomainEvent) -> None:
    """Bill a session once; what cannot be priced is parked with the reason."""
    session = await db.get(ChargingSession, event.data["session_id"], with_for_update=True)
    if session is None:
        return
    if session.bill != "cloud":  # billed_elsewhere: the other ledger makes the only CDR
        hold = await hold_of(db, session.id)
        if hold is not None:
            await payments.release(db, hold.id)
        return
    await bill_session(db, session, trace=event.trace)


async def bill_session(db: AsyncSession, session: ChargingSession, *, trace: str = "") -> None:
    """Issue the invoice unless there is one; also the way back for a parked session once mended."""
    if await db.scalar(select(Invoice.id).where(Invoice.session_id == session.id)):
        return
    now_ms: int = db.info["clock"]()
    parked = await db.get(ParkedBill, session.id)
    try:
        invoice = await issue(db, session, now_ms)
    except CannotBillError as error:
        await _park(db, session, parked, str(error), now_ms)
        return
    if parked is not None:
        await db.delete(parked)
    await emit(db, "billing", "InvoiceIssued", _summary(invoice), trace=trace)


async def _park(
    db: AsyncSession, session: ChargingSession, parked: ParkedBill | None, reason: str, now_ms: int
) -> None:
    if parked is not None:
        parked.reason = reason[:1000]
        return
    db.add(ParkedBill(session_id=session.id, reason=reason[:1000], parked_ms=now_ms))
    await emit(db, "billing", "BillParked", {"session_id": session.id, "reason": reason})


async def on_issued(payments: GatewayPayments, db: AsyncSession, event: DomainEvent) -> None:
    """Capture what is due; a gateway that does not answer is asked again with the same key."""
    invoice = await db.get_one(Invoice, event.data["invoice_id"])
    payment = await db.get(Payment, invoice.id, with_for_update=True)
    if payment is not None and payment.state == PaymentState.SUCCEEDED:
        return
    await collect(payments, db, invoice, payment, trace=event.trace)


@dataclass(slots=True)
class _Collected:
    parts: list[Any]
    paid_minor: int = 0
    reason: str = ""


async def collect(
    payments: GatewayPayments, db: AsyncSession, invoice: Invoice, payment: Payment | None,
    *, trace: str = "",
) -> None:  # fmt: skip
    """Capture the hold of the session, and what the invoice exceeds it by; tell how it went."""
    result = await _capture(payments, db, invoice, payment)
    state = (
        PaymentState.SUCCEEDED
        if result.paid_minor == invoice.gross_minor
        else PaymentState.DECLINED
    )
    if payment is None:
        payment = Payment(invoice_id=invoice.id, currency=invoice.currency)
        db.add(payment)
    payment.paid_minor, payment.parts = result.paid_minor, list(result.parts)
    payment.state, payment.reason = state, result.reason
    payment.changed_ms = db.info["clock"]()
    name = "PaymentSucceeded" if state is PaymentState.SUCCEEDED else "PaymentFailed"
    await emit(db, "billing", name, _summary(invoice), trace=trace)


async def _capture(
    payments: GatewayPayments, db: AsyncSession, invoice: Invoice, before: Payment | None
) -> _Collected:
    result = _Collected([]) if before is None else _Collected(before.parts, before.paid_minor)
    hold = await hold_of(db, invoice.session_id)
    if hold is not None and hold.state == HoldState.AUTHORISED:
        await _from_hold(payments, db, hold, invoice.gross_minor, result)
    missing = invoice.gross_minor - result.paid_minor
    if missing:
        try:
            extra = await payments.authorise(
                db, invoice.user_id, missing, invoice.currency, f"{invoice.id}:rest"
            )
            await _from_hold(payments, db, extra, missing, result)
        except DeclinedError as error:
            result.reason = str(error)
    return result


async def _from_hold(
    payments: GatewayPayments, db: AsyncSession, hold: Hold, due_minor: int, result: _Collected
) -> None:
    amount = min(due_minor, hold.amount_minor)
    if not amount:
        await payments.release(db, hold.id)
        return
    await payments.capture(hold, amount)
    result.parts = [*result.parts, {"hold_id": hold.id, "amount_minor": amount}]
    result.paid_minor += amount


async def hold_of(db: AsyncSession, session_id: str) -> Hold | None:
    """The hold that was made for a session or its booking."""
    session = await db.get_one(ChargingSession, session_id)
    hold_id = session.hold_id
    if hold_id is None and session.booking_id is not None:
        hold_id = (await db.get_one(Booking, session.booking_id)).hold_id
    return None if hold_id is None else await db.get(Hold, hold_id, with_for_update=True)


def _summary(invoice: Invoice) -> dict[str, object]:
    return {
        "invoice_id": invoice.id,
        "number": invoice.body["number"],
        "session_id": invoice.session_id,
        "user_id": invoice.user_id,
        "gross_minor": invoice.gross_minor,
        "currency": invoice.currency,
    }
