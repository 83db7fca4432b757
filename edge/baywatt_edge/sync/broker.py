"""The wire: one connection to an MQTT broker behind the two methods that sync needs."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import aiomqtt
from paho.mqtt.reasoncodes import ReasonCode

from baywatt_edge.sync.core import Outgoing

_REFUSED = {134, 135}  # bad credentials, not authorised (paho maps 3.1.1's codes to these)
_KEEPALIVE_S = 30
_TIMEOUT_S = 10
_QUEUE = 1000


class BrokerError(Exception):
    """The broker cannot be used now; try again later."""


class BrokerRefusedError(BrokerError):
    """The broker does not accept this site's credentials; somebody must mend them."""


class Link(Protocol):
    """An open connection."""

    async def publish(self, message: Outgoing) -> None:
        """Hand a message over; returns when the broker has it. Raises BrokerError."""
        ...

    def messages(self) -> AsyncIterator[tuple[str, bytes]]:
        """Topic and payload of everything that arrives, until BrokerError."""
        ...


class Broker(Protocol):
    """Somewhere to connect to."""

    def connect(self, will: Outgoing, topics: Sequence[str]) -> _Connecting:
        """A connection with its will set and its topics subscribed; raises BrokerError."""
        ...


class _Connecting(Protocol):
    async def __aenter__(self) -> Link: ...

    async def __aexit__(self, *args: object) -> bool | None: ...


@dataclass(frozen=True, slots=True)
class MqttBroker:
    """A broker by URL (`mqtt://host[:1883]`, `mqtts://host[:8883]`), over MQTT 3.1.1."""

    url: str
    client_id: str
    username: str | None = None
    password: str | None = None

    @asynccontextmanager
    async def connect(self, will: Outgoing, topics: Sequence[str]) -> AsyncGenerator[Link]:
        """See Broker."""
        try:
            client = self._client(will)
        except (OSError, ValueError) as error:
            raise BrokerError(f"the connection cannot be set up: {error}") from error
        try:
            async with client:
                await client.subscribe([(topic, 1) for topic in topics])
                yield _MqttLink(client)
        except aiomqtt.MqttError as error:
            raise _translated(error) from error

    def _client(self, will: Outgoing) -> aiomqtt.Client:
        parts = urlsplit(self.url)
        secure = parts.scheme == "mqtts"
        return aiomqtt.Client(
            hostname=parts.hostname or "",
            port=parts.port or (8883 if secure else 1883),
            identifier=self.client_id,
            username=self.username,
            password=self.password,
            protocol=aiomqtt.ProtocolVersion.V311,
            will=aiomqtt.Will(will.topic, will.payload, will.qos, will.retain),
            clean_session=True,  # nothing depends on what a broker remembers
            keepalive=_KEEPALIVE_S,
            timeout=_TIMEOUT_S,
            tls_context=ssl.create_default_context() if secure else None,
            max_queued_incoming_messages=_QUEUE,
        )


class _MqttLink:
    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client

    async def publish(self, message: Outgoing) -> None:
        try:
            await self._client.publish(message.topic, message.payload, message.qos, message.retain)
        except aiomqtt.MqttError as error:
            raise _translated(error) from error

    async def messages(self) -> AsyncIterator[tuple[str, bytes]]:
        try:
            async for message in self._client.messages:
                payload = message.payload
                yield message.topic.value, payload if isinstance(payload, bytes) else b""
        except aiomqtt.MqttError as error:
            raise _translated(error) from error


def _translated(error: aiomqtt.MqttError) -> BrokerError:
    code = getattr(error, "rc", None)
    if isinstance(code, ReasonCode) and code.value in _REFUSED:
        return BrokerRefusedError(str(error))
    return BrokerError(str(error))
