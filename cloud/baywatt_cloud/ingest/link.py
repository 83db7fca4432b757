"""The cloud's connection to the MQTT broker: one client, reconnecting for ever.

Nothing depends on the broker's durability: a batch counts as delivered only when the site has our
own acknowledgement, so a message lost here is sent again by the site.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
from urllib.parse import unquote, urlsplit

import aiomqtt
from sqlalchemy.exc import SQLAlchemyError

from baywatt_cloud.ingest.downlink import Downlink
from baywatt_cloud.ingest.errors import IngestError
from baywatt_cloud.ingest.service import Ingest
from baywatt_cloud.kit.services import Services
from baywatt_cloud.kit.workers import unbroken
from baywatt_contract.envelope import pack
from baywatt_contract.topics import ROOT, SiteTopics, parse_up

_log = logging.getLogger(__name__)
_SUBSCRIPTION = f"{ROOT}/+/+/up/#"
_TIMEOUT_S = 5.0
_QUEUE = 5000
_POLL_S = 1.0
_LONGEST_PAUSE_S = 15.0


class LinkDownError(IngestError):
    """The broker is not reachable now; try again later."""


class Link:
    """Ingest and downlink over one aiomqtt client."""

    def __init__(self, services: Services, url: str) -> None:
        self._services = services
        self._url = url
        self._client: aiomqtt.Client | None = None
        self._ingest = Ingest(services)
        self._downlink = Downlink(services.database, self)

    async def run(self) -> None:
        """Work until cancelled; one WARNING per outage."""
        pause_s, warned = 0.25, False
        while True:
            try:
                async with self._make_client() as client:
                    await client.subscribe(_SUBSCRIPTION, qos=1)
                    _log.info("connected to %s", self._where())
                    pause_s, warned = 0.25, False
                    await self._work(client)
            except (aiomqtt.MqttError, LinkDownError, OSError) as error:
                level = logging.DEBUG if warned else logging.WARNING
                _log.log(level, "MQTT broker %s: %s; trying again", self._where(), error)
                warned = True
            await asyncio.sleep(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)

    def _where(self) -> str:
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.hostname}:{parts.port or ''}"

    def _make_client(self) -> aiomqtt.Client:
        parts = urlsplit(self._url)
        secure = parts.scheme == "mqtts"
        return aiomqtt.Client(
            hostname=parts.hostname or "127.0.0.1",
            port=parts.port or (8883 if secure else 1883),
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            identifier=f"baywatt-cloud-{secrets.token_hex(4)}",
            keepalive=15,
            timeout=_TIMEOUT_S,
            max_queued_incoming_messages=_QUEUE,
            tls_context=ssl.create_default_context() if secure else None,
        )

    async def _work(self, client: aiomqtt.Client) -> None:
        """Listen and speak until the connection breaks; either side's end ends the other."""
        self._client = client
        self._note(connected=True)
        speaking = asyncio.create_task(self._speak())
        listening = asyncio.create_task(self._listen(client))
        try:
            done, _ = await asyncio.wait({speaking, listening}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._client = None
            self._note(connected=False)
            for task in (speaking, listening):
                task.cancel()
            await asyncio.gather(speaking, listening, return_exceptions=True)

    def _note(self, *, connected: bool) -> None:
        self._services.broker_connected = connected
        self._services.metrics.broker.set(connected)

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            place = parse_up(message.topic.value)
            if place is None or not isinstance(message.payload, bytes):
                self._services.metrics.refused.labels("topic").inc()
                continue
            site_id, leaf = place
            try:
                acks = await unbroken(self._ingest.take(site_id, leaf, message.payload))
            except SQLAlchemyError as error:
                _log.warning("the database refuses a batch of %s: %s", site_id, error)
                continue  # not acknowledged: the site sends it again
            for ack in acks:
                body = pack(ack.model_dump(mode="json"))
                await self.publish(SiteTopics(site_id).ack, body, retain=False)

    async def _speak(self) -> None:
        changed = self._services.database.changed
        while True:
            seen = changed.count
            try:
                busy = await unbroken(self._downlink.step())
            except SQLAlchemyError as error:
                _log.warning("the database is not available: %s", error)
                busy = 0
            if not busy:
                await changed.wait_beyond(seen, _POLL_S)

    async def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """QoS 1; raises LinkDownError while there is no connection."""
        client = self._client
        if client is None:
            raise LinkDownError("not connected")
        try:
            await client.publish(topic, payload, qos=1, retain=retain)
        except aiomqtt.MqttError as error:
            raise LinkDownError(str(error)) from error
