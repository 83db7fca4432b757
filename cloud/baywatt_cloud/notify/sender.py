"""Carry the outbox to the mail server: at least once, with back-off, for as long as it takes."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from typing import Self
from urllib.parse import unquote, urlsplit

import aiosmtplib
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.billing.models import Invoice, Payment
from baywatt_cloud.billing.pdf import invoice_pdf
from baywatt_cloud.kit.db import Database
from baywatt_cloud.kit.relay import retry_after_ms
from baywatt_cloud.kit.settings import BadSettingError
from baywatt_cloud.notify.models import Mail

_log = logging.getLogger(__name__)
_POLL_S = 5.0
_BATCH = 20
_TIMEOUT_S = 20.0
SENDER = "Baywatt <no-reply@baywatt.invalid>"


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mail goes: `smtp://[user:password@]host[:port]`, `smtps://` for TLS at once.

    `?from=ADDRESS` sets the sender.
    """

    host: str
    port: int
    tls: bool
    username: str | None
    password: str | None
    sender: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read BAYWATT_SMTP_URL; raises BadSettingError."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise BadSettingError(f"BAYWATT_SMTP_URL: {error}") from error
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
            raise BadSettingError("BAYWATT_SMTP_URL: write smtp://HOST:PORT or smtps://HOST:PORT")
        tls = parts.scheme == "smtps"
        return cls(
            host=parts.hostname,
            port=port or (465 if tls else 25),
            tls=tls,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            sender=unquote(parts.query.removeprefix("from=")) or SENDER,
        )


async def run(database: Database, server: SmtpServer) -> None:
    """Send for ever; a server that is down delays mail, it never loses any."""
    while True:
        seen = database.changed.count
        if not await send_due(database, server):
            await database.changed.wait_beyond(seen, _POLL_S)


async def send_due(database: Database, server: SmtpServer) -> int:
    """Send what is due now; returns how many went out."""
    async with database.read() as db:
        ids = list(
            await db.scalars(
                select(Mail.id)
                .where(Mail.sent_ms.is_(None), Mail.next_ms <= database.clock())
                .order_by(Mail.next_ms, Mail.id)
                .limit(_BATCH)
            )
        )
    return sum([await _send(database, server, mail_id) for mail_id in ids])


async def _send(database: Database, server: SmtpServer, mail_id: str) -> bool:
    async with database.write() as db:
        mail = await db.scalar(
            select(Mail)
            .where(Mail.id == mail_id, Mail.sent_ms.is_(None))
            .where(Mail.next_ms <= database.clock())
            .with_for_update(skip_locked=True)
        )
        if mail is None:
            return False
        # Taken until the time is over: two senders never work on one mail at the same time.
        mail.next_ms = database.clock() + round(2000 * _TIMEOUT_S)
        message = _message(mail, server.sender)
        if mail.invoice_id is not None:
            _attach(message, *await _pdf_parts(db, mail.invoice_id))
    error = await _deliver(server, message)
    async with database.write() as db:
        mail = await db.get_one(Mail, mail_id)
        mail.attempts += 1
        mail.error = error[:500]
        if not error:
            mail.sent_ms = database.clock()
            return True
        mail.next_ms = database.clock() + retry_after_ms(mail.attempts)
        level = logging.WARNING if mail.attempts == 1 else logging.DEBUG
    _log.log(level, "mail %s was not sent, will retry: %s", mail_id, error)
    return False


async def _pdf_parts(db: AsyncSession, invoice_id: str) -> tuple[str, bytes]:
    invoice = await db.get_one(Invoice, invoice_id)
    payment = await db.get(Payment, invoice_id)
    return invoice.body["number"], invoice_pdf(invoice, payment)


def _message(mail: Mail, sender: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = sender
    message["To"] = mail.to
    message["Subject"] = " ".join(mail.subject.split())
    message["Date"] = formatdate(mail.created_ms / 1000)
    message["Message-ID"] = f"<{mail.id}@baywatt.invalid>"  # the same on a repeat
    message.set_content(mail.body)
    return message


def _attach(message: EmailMessage, number: str, pdf: bytes) -> None:
    message.add_attachment(pdf, maintype="application", subtype="pdf", filename=f"{number}.pdf")


async def _deliver(server: SmtpServer, message: EmailMessage) -> str:
    """Empty when the server took the mail, else why not."""
    try:
        await aiosmtplib.send(
            message,
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            use_tls=server.tls,
            timeout=_TIMEOUT_S,
        )
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return ""
