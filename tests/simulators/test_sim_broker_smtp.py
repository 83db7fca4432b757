"""The embedded broker and the mail sink, by ordinary clients."""

from __future__ import annotations

from email.message import EmailMessage

import aiomqtt
import aiosmtplib
import pytest

from baywatt_sim.broker import LOOPBACK, BrokerFailedError, EmbeddedBroker, free_port
from baywatt_sim.smtp_sink import SmtpSink


async def test_a_large_message_passes_and_a_killed_broker_comes_back_empty() -> None:
    broker = EmbeddedBroker(free_port())
    await broker.start()
    payload = b"x" * 200_000
    async with aiomqtt.Client(LOOPBACK, broker.port) as client:
        await client.subscribe("here/#", qos=1)
        await client.publish("here/now", payload, qos=1, retain=True)
        received = await anext(aiter(client.messages))
        assert received.payload == payload
    await broker.kill()
    await broker.start()
    async with aiomqtt.Client(LOOPBACK, broker.port) as client:
        await client.subscribe("#", qos=1)
        await client.publish("after", b"1", qos=1)
        received = await anext(aiter(client.messages))
        assert received.topic.value == "after"
    await broker.stop()


async def test_credentials_are_checked() -> None:
    async with EmbeddedBroker(free_port(), {"harbour": "right"}) as broker:
        async with aiomqtt.Client(
            LOOPBACK, broker.port, username="harbour", password="right"
        ) as client:
            await client.publish("a", b"1", qos=1)
        with pytest.raises(aiomqtt.MqttError):
            async with aiomqtt.Client(
                LOOPBACK, broker.port, username="harbour", password="wrong", timeout=2
            ):
                pass


async def test_a_taken_port_is_named() -> None:
    async with EmbeddedBroker(free_port()) as broker:
        with pytest.raises(BrokerFailedError, match=f"port {broker.port} is taken"):
            await EmbeddedBroker(broker.port).start()


async def test_the_sink_keeps_what_was_mailed() -> None:
    sink = SmtpSink()
    await sink.start()
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@example.org", "b@example.org", "Grüße"
    mail.set_content("your receipt\n")
    await aiosmtplib.send(mail, hostname=sink.host, port=sink.port)
    caught = (await sink.wait_for(1))[0]
    assert (caught.subject, caught.text) == ("Grüße", "your receipt\n")
    assert caught.recipients == ("b@example.org",)
    await sink.stop()
