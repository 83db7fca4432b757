"""The receipt reaches the driver's mailbox, however often the mail server was down."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP
from billing_world import SiteFeed, register
from httpx import AsyncClient
from sqlalchemy import select

from baywatt_cloud.kit.services import Services
from baywatt_cloud.kit.settings import BadSettingError
from baywatt_cloud.notify import texts
from baywatt_cloud.notify.models import Mail
from baywatt_cloud.notify.sender import SmtpServer, send_due


class Mailbox:
    """Keeps what arrives."""

    def __init__(self) -> None:
        self.mails: list[email.message.EmailMessage] = []
        self.answer = "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.answer.startswith("250"):
            parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
            self.mails.append(parsed)
        return self.answer


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
async def server(mailbox: Mailbox) -> AsyncIterator[SmtpServer]:
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: SMTP(mailbox, loop=loop), "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    yield SmtpServer.parse(f"smtp://127.0.0.1:{port}?from=desk@example.org")
    listening.close()
    await listening.wait_closed()


async def test_the_receipt_arrives_once_with_its_pdf(
    api: AsyncClient, services: Services, clock: Any, mailbox: Mailbox, server: SmtpServer
) -> None:
    feed = SiteFeed(services, clock())
    await feed.describe()
    driver = await register(services)
    await feed.visit("s1", driver.app_token)
    mailbox.answer = "451 later"
    assert await send_due(services.database, server) == 0
    assert await send_due(services.database, server) == 0  # not due yet: it backs off
    mailbox.answer = "250 OK"
    clock.advance(seconds=60)
    assert await send_due(services.database, server) == 1
    assert await send_due(services.database, server) == 0
    (mail,) = mailbox.mails
    assert (mail["to"], mail["from"]) == ("kim@example.org", "desk@example.org")
    assert mail["subject"] == "Your receipt BW-000001: 6.95 EUR"
    body = mail.get_body()
    assert body is not None
    assert "8.765 kWh" in body.get_content()
    (pdf,) = mail.iter_attachments()
    assert pdf.get_filename() == "BW-000001.pdf"
    assert pdf.get_content().startswith(b"%PDF")
    async with services.database.read() as db:
        row = (await db.scalars(select(Mail))).one()
    assert (row.attempts, row.error) == (2, "")


async def test_a_server_that_is_away_loses_nothing(
    api: AsyncClient, services: Services, clock: Any
) -> None:
    feed = SiteFeed(services, clock())
    await feed.describe()
    driver = await register(services)
    await feed.visit("s1", driver.app_token)
    assert await send_due(services.database, SmtpServer.parse("smtp://127.0.0.1:1")) == 0
    async with services.database.read() as db:
        row = (await db.scalars(select(Mail))).one()
    assert row.sent_ms is None
    assert row.next_ms > clock()
    assert row.error


def test_a_name_cannot_add_lines() -> None:
    invoice = {
        "time_zone": "UTC", "begin": "2026-01-01T00:00:00Z", "gross_minor": 1, "currency": "EUR",
        "site": {"name": "x"}, "lines": [], "number": "BW-1", "energy_wh": 1,
    }  # fmt: skip
    assert texts.receipt(invoice, "Kim\r\nBcc: all", "u").body.startswith("Hello Kim Bcc: all,\n")


@pytest.mark.parametrize("url", ["http://x", "smtp://", "smtp://x:port"])
def test_a_bad_url_is_one_clear_line(url: str) -> None:
    with pytest.raises(BadSettingError, match="BAYWATT_SMTP_URL"):
        SmtpServer.parse(url)
