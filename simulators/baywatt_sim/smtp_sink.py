"""A mail server that keeps every message in memory, so that a test or the demo can read it."""

from __future__ import annotations

import asyncio
import email.policy
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, Envelope, Session

# More mails than any test sends: what is beyond is refused, not kept.
MAX_MAILS = 10_000
MAX_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CaughtMail:
    """One message as it came over the wire."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage

    @property
    def subject(self) -> str:
        """The decoded subject."""
        return str(self.message["subject"] or "")

    @property
    def text(self) -> str:
        """The plain text part, "" when there is none."""
        part = self.message.get_body(("plain",))
        return str(part.get_content()).replace("\r\n", "\n") if part is not None else ""


class SmtpSink:
    """Listens on host and port (0 for any); `mails` is what came, oldest first."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host, self.port = host, port
        self.mails: list[CaughtMail] = []
        self._server: asyncio.Server | None = None
        self._arrived = asyncio.Event()

    @property
    def url(self) -> str:
        """For `BAYWATT_SMTP_URL`."""
        return f"smtp://{self.host}:{self.port}"

    async def start(self) -> None:
        """Listen; raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(self, data_size_limit=MAX_BYTES, hostname="sink", loop=loop),
            self.host,
            self.port,
        )
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening; the mails stay."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def wait_for(self, count: int, timeout_s: float = 10.0) -> list[CaughtMail]:
        """The mails as soon as there are `count`; raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while len(self.mails) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return list(self.mails)

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self,
        server: SMTP,  # noqa: ARG002 - aiosmtpd's signature
        session: Session,  # noqa: ARG002 - aiosmtpd's signature
        envelope: Envelope,
    ) -> str:
        """Keep one message (called by aiosmtpd)."""
        if len(self.mails) >= MAX_MAILS:
            return "452 4.3.1 the sink is full"
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        parsed = message_from_bytes(content, policy=email.policy.default)
        self.mails.append(CaughtMail(envelope.mail_from or "", tuple(envelope.rcpt_tos), parsed))
        self._arrived.set()
        return "250 2.0.0 kept"
