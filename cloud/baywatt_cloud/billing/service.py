"""Invoices as people see them: their own, or all of them for operators."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.billing.models import Hold, Invoice, Payment
from baywatt_cloud.billing.schemas import InvoiceSummary, InvoiceView, PaymentView
from baywatt_cloud.kit.identity import Person
from baywatt_cloud.kit.problems import NotFoundError
from baywatt_contract.clock import format_utc_ms

OPEN = "OPEN"


async def list_for(
    db: AsyncSession, person: Person, *, session_id: str | None, limit: int, offset: int
) -> list[tuple[Invoice, Payment | None]]:
    """Invoices the person may see, newest first."""
    query = select(Invoice, Payment).outerjoin(Payment, Payment.invoice_id == Invoice.id)
    if not person.is_operator:
        query = query.where(Invoice.user_id == person.id)
    if session_id is not None:
        query = query.where(Invoice.session_id == session_id)
    query = query.order_by(Invoice.issued_ms.desc(), Invoice.id.desc())
    rows = await db.execute(query.limit(limit).offset(offset))
    return [(row[0], row[1]) for row in rows]


async def one_for(
    db: AsyncSession, person: Person, invoice_id: str
) -> tuple[Invoice, Payment | None]:
    """An invoice the person may see; raises NotFoundError."""
    invoice = await db.get(Invoice, invoice_id)
    if invoice is None or not (person.is_operator or invoice.user_id == person.id):
        raise NotFoundError(f"no invoice {invoice_id}")
    return invoice, await db.get(Payment, invoice.id)


def summary(invoice: Invoice, payment: Payment | None) -> InvoiceSummary:
    """The invoice in a list."""
    return InvoiceSummary(
        invoice_id=invoice.id,
        number=invoice.body["number"],
        session_id=invoice.session_id,
        issued_at=format_utc_ms(invoice.issued_ms),
        energy_wh=invoice.body["energy_wh"],
        currency=invoice.currency,
        gross_minor=invoice.gross_minor,
        status=payment.state if payment else OPEN,
        pdf=f"/billing/invoices/{invoice.id}.pdf",
    )


async def view(db: AsyncSession, invoice: Invoice, payment: Payment | None) -> InvoiceView:
    """The whole invoice."""
    shown = invoice.body | summary(invoice, payment).model_dump()
    return InvoiceView.model_validate(shown | {"payment": await _payment(db, payment)})


async def _payment(db: AsyncSession, payment: Payment | None) -> PaymentView:
    if payment is None:
        return PaymentView(status=OPEN, paid_minor=0, reason="", released_minor=0)
    ids = [part["hold_id"] for part in payment.parts]
    released = await db.scalars(select(Hold.released_minor).where(Hold.id.in_(ids)))
    return PaymentView(
        status=payment.state,
        paid_minor=payment.paid_minor,
        reason=payment.reason,
        released_minor=sum(released),
    )
