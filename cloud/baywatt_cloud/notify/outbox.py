"""Put e-mails into the outbox when something happened that a person wants to know."""

from __future__ import annotations

from functools import partial

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.billing.models import Invoice, Payment
from baywatt_cloud.kit.domain import subscribe
from baywatt_cloud.kit.ids import new_id
from baywatt_cloud.models import DomainEvent, User
from baywatt_cloud.notify import texts
from baywatt_cloud.notify.models import Mail


def register(public_url: str) -> None:
    """Listen for payments; links in e-mails begin with `public_url`."""
    subscribe(
        "notify.payment", ["PaymentSucceeded", "PaymentFailed"], partial(on_payment, public_url)
    )


async def on_payment(public_url: str, db: AsyncSession, event: DomainEvent) -> None:
    """A receipt with the PDF, or the news that the payment was declined."""
    invoice = await db.get_one(Invoice, event.data["invoice_id"])
    user = await db.get_one(User, invoice.user_id)
    url = f"{public_url}/receipts/{invoice.id}"
    if event.type == "PaymentSucceeded":
        text = texts.receipt(invoice.body, user.name, url)
    else:
        payment = await db.get_one(Payment, invoice.id)
        text = texts.declined(invoice.body, user.name, payment.reason, url)
    await put(db, user, text, f"{event.type}:{invoice.id}", invoice.id)


async def put(
    db: AsyncSession, user: User, text: texts.Text, dedupe: str, invoice_id: str | None = None
) -> None:
    """Queue an e-mail in the caller's transaction, once per `dedupe`."""
    if await db.scalar(select(Mail.id).where(Mail.dedupe == dedupe)):
        return
    now_ms: int = db.info["clock"]()
    db.add(
        Mail(
            id=new_id("ma", now_ms),
            dedupe=dedupe,
            user_id=user.id,
            to=user.email,
            subject=text.subject,
            body=text.body,
            invoice_id=invoice_id,
            next_ms=now_ms,
            created_ms=now_ms,
        )
    )
