"""The charge point on a real websocket with a real journal, against the CSMS simulator."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from ocpp_helpers import STATION, FakeHouse, authorised, connector, sampled, started, stopped

from baywatt_contract.clock import Instant
from baywatt_contract.events import Payload
from baywatt_contract.site_file import Authority, Station
from baywatt_contract.wishes import ResetWish
from baywatt_edge.clock import SystemClock
from baywatt_edge.journal import Journal, NewEvent, Write
from baywatt_edge.ocpp import BackOffRule, OcppStation
from baywatt_edge.ocpp.transport import Endpoint
from baywatt_sim.csms import CsmsSimulator

QUICK = BackOffRule(minimum_s=0.05, random_s=0.02, repeats=1)


class Site:
    """One station with everything around it."""

    def __init__(self, folder: Path, url: str, **station: Any) -> None:
        self.folder = folder
        self.clock = SystemClock(1)
        self.connectors = [connector(1), connector(2)]
        self.house = FakeHouse(self.clock, self.connectors)
        values: dict[str, Any] = {"id": STATION, "csms": url, "versions": ["2.0.1", "1.6"]}
        self.station = Station.model_validate(values | station)
        self.journal: Journal
        self.ocpp: OcppStation
        self._tasks: list[asyncio.Task[None]] = []
        self.beats = 0

    async def start(self) -> None:
        self.journal = await Journal.open(
            self.folder,
            "harbour",
            quota_bytes=64 << 20,
            mono_now=lambda: time.monotonic_ns() // 1_000_000,
        )
        self.ocpp = OcppStation(
            self.station,
            self.connectors,
            Authority(),
            journal=self.journal,
            house=self.house,
            clock=self.clock,
            program_version="1.2.3",
            rng=Random(7),  # noqa: S311 - jitter
            back_off=QUICK,
            pong_s=0.3,
        )
        self._tasks = [
            asyncio.ensure_future(task(self._beat)) for task in self.ocpp.tasks().values()
        ]

    def _beat(self) -> None:
        self.beats += 1

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.journal.close()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def happen(self, *payloads: Payload) -> None:
        events = [NewEvent(payload, self.now()) for payload in payloads]
        await self.journal.submit(Write(events=events)).done()

    def now(self) -> Instant:
        return self.clock.now()


@pytest.fixture
async def csms() -> AsyncIterator[CsmsSimulator]:
    async with CsmsSimulator() as simulator:
        yield simulator


@contextlib.asynccontextmanager
async def running(folder: Path, url: str, **station: Any) -> AsyncIterator[Site]:
    site = Site(folder, url, **station)
    await site.start()
    try:
        yield site
    finally:
        await site.stop()


async def until(true: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait for something that has no event of its own, with a bound."""
    async with asyncio.timeout(timeout_s):
        while not true():
            await asyncio.sleep(0.01)


async def test_a_session_is_told_once_over_a_restart(csms: CsmsSimulator, tmp_path: Path) -> None:
    async with running(tmp_path, csms.url) as site:
        await csms.wait_for("StatusNotification", 3)
        await site.happen(authorised("s1", 1), started("s1", 1), sampled("s1", 1))
        await csms.wait_for("MeterValues")
        await site.restart()
        await csms.wait_for("BootNotification", 2)
        await site.happen(stopped("s1", 1))
        await csms.wait_for("StopTransaction")
        await until(lambda: site.ocpp.status()["queue"] == 0)
        assert site.ocpp.status() == {"state": "accepted", "version": "1.6", "queue": 0}
        assert site.beats > 0
    (booked,) = csms.script.transactions.values()
    assert (booked.starts, booked.stops) == (1, 1)
    assert (booked.meter_start, booked.meter_stop) == (5000, 6000)
    assert [each.problems for each in csms.received if each.problems] == []


async def test_a_black_hole_is_noticed_and_nothing_is_lost(
    csms: CsmsSimulator, tmp_path: Path
) -> None:
    async with running(tmp_path, csms.url) as site:
        await csms.wait_for("StatusNotification", 3)
        answer = await csms.send(
            STATION, "ChangeConfiguration", {"key": "WebSocketPingInterval", "value": "1"}
        )
        assert answer == {"status": "Accepted"}
        await csms.fault({"kind": "black_hole"})
        await site.happen(authorised("s1", 1), started("s1", 1), stopped("s1", 1))
        await csms.wait_for("StopTransaction", timeout_s=15)
        assert csms.connections == 2
    (booked,) = csms.script.transactions.values()
    assert (booked.starts, booked.stops) == (1, 1)


async def test_duplicate_answers_change_nothing(csms: CsmsSimulator, tmp_path: Path) -> None:
    await csms.fault({"kind": "duplicate"})
    async with running(tmp_path, csms.url) as site:
        await csms.wait_for("StatusNotification", 3)
        await site.happen(authorised("s1", 1), started("s1", 1), sampled("s1", 1), stopped("s1", 1))
        await csms.wait_for("StopTransaction")
    assert csms.connections == 1
    assert len(csms.calls("StartTransaction")) == 1
    assert csms.calls("StopTransaction")[0].payload["transactionId"] == 1001


async def test_a_late_answer_does_not_satisfy_the_next_call(
    csms: CsmsSimulator, tmp_path: Path
) -> None:
    async with running(tmp_path, csms.url) as site:
        await csms.wait_for("StatusNotification", 3)
        for key, value in (("MessageTimeout", "1"), ("TransactionMessageRetryInterval", "0")):
            await csms.send(STATION, "ChangeConfiguration", {"key": key, "value": value})
        late = {"kind": "late", "action": "StartTransaction", "delay_s": 1.5, "count": 1}
        await csms.fault(late)
        await site.happen(authorised("s1", 1), started("s1", 1), stopped("s1", 1))
        await csms.wait_for("StopTransaction")
    assert len(csms.calls("StartTransaction")) == 2
    assert csms.calls("StopTransaction")[0].payload["transactionId"] == 1001


async def test_a_refused_subprotocol_is_one_clear_warning_and_is_tried_again(
    csms: CsmsSimulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await csms.fault({"kind": "wrong_subprotocol", "count": 3})
    with caplog.at_level(logging.WARNING, "baywatt_edge.ocpp"):
        async with running(tmp_path, csms.url):
            await csms.wait_for("BootNotification")
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == 1
    assert STATION in texts[0]
    assert "ocpp1.6" in texts[0]
    assert csms.url in texts[0]


async def test_a_wrong_password_is_one_clear_warning_until_it_is_right(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    passwords = {STATION: "right"}
    async with CsmsSimulator(passwords=passwords) as csms:
        with caplog.at_level(logging.WARNING, "baywatt_edge.ocpp"):
            async with running(tmp_path, csms.url, csms_password="wrong") as site:
                await until(lambda: bool(caplog.records))
                assert site.ocpp.status()["state"] == "offline"
                passwords[STATION] = "wrong"
                await csms.wait_for("BootNotification")
    (record,) = caplog.records
    assert "csms_password" in record.getMessage()
    assert STATION in record.getMessage()
    assert "wrong" not in record.getMessage().replace("is wrong", "")


async def test_an_unknown_station_and_a_refused_upgrade_are_tried_again(
    csms: CsmsSimulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """1.6J errata 3.4."""
    await csms.fault({"kind": "refuse_upgrade", "status": 404, "count": 1})
    await csms.fault({"kind": "refuse_upgrade", "status": 503, "count": 1})
    with caplog.at_level(logging.WARNING, "baywatt_edge.ocpp"):
        async with running(tmp_path, csms.url):
            await csms.wait_for("BootNotification")
    assert ["404" in r.getMessage() for r in caplog.records] == [True, False]


async def test_no_csms_at_the_address_is_one_clear_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with CsmsSimulator() as csms:
        url = csms.url
    with caplog.at_level(logging.WARNING, "baywatt_edge.ocpp"):
        async with running(tmp_path, url):
            await until(lambda: bool(caplog.records))
    assert url in caplog.records[0].getMessage()


async def test_a_closed_connection_comes_back_without_a_boot(
    csms: CsmsSimulator, tmp_path: Path
) -> None:
    async with running(tmp_path, csms.url) as site:
        await csms.wait_for("StatusNotification", 3)
        await csms.fault({"kind": "close"})
        await site.happen(authorised("s1", 1), started("s1", 1))
        await csms.wait_for("StartTransaction")
    assert len(csms.calls("BootNotification")) == 1
    assert csms.connections == 2


async def test_malformed_frames_get_a_call_error_and_keep_the_connection(
    csms: CsmsSimulator, tmp_path: Path
) -> None:
    async with running(tmp_path, csms.url):
        await csms.wait_for("StatusNotification", 3)
        for text in ("{", "[2]", '[2,5,"Reset",{}]', "[" * 5000, "\ufeffx"):
            answer = await csms.send_raw(STATION, text, "-1", timeout_s=5)
            assert answer["error"] == "FormationViolation"
        huge = '[2,"big","DataTransfer",{"vendorId":"' + "x" * 300_000 + '"}]'
        answer = await csms.send_raw(STATION, huge, "-1", timeout_s=5)
        assert answer["error"] == "FormationViolation"
        assert await csms.send(STATION, "ClearCache", {}) == {"status": "Rejected"}
    assert csms.connections == 1


async def test_a_wish_that_takes_long_does_not_block_the_reader(
    csms: CsmsSimulator, tmp_path: Path
) -> None:
    async with running(tmp_path, csms.url) as site:
        await csms.wait_for("StatusNotification", 3)
        gate = asyncio.Event()
        decide = site.house.wish

        async def slow(wish: Any) -> Any:
            await gate.wait()
            return await decide(wish)

        site.house.wish = slow  # type: ignore[method-assign]
        unlocking = asyncio.create_task(csms.send(STATION, "UnlockConnector", {"connectorId": 1}))
        assert await csms.send(STATION, "ClearCache", {}) == {"status": "Rejected"}
        answer = await site.ocpp.authorise("CARD", 5)
        assert answer.accepted is True
        gate.set()
        assert await unlocking == {"status": "Unlocked"}


async def test_the_answer_to_a_reset_leaves_before_the_reset(
    csms: CsmsSimulator, tmp_path: Path
) -> None:
    async with running(tmp_path, csms.url) as site:
        await csms.wait_for("StatusNotification", 3)
        assert await csms.send(STATION, "Reset", {"type": "Soft"}) == {"status": "Accepted"}
        await until(lambda: bool(site.house.asked(ResetWish)))
        assert site.house.asked(ResetWish)[0].hard is False


async def test_authorise_says_yes_no_or_nothing(csms: CsmsSimulator, tmp_path: Path) -> None:
    async with running(tmp_path, csms.url) as site:
        assert (await site.ocpp.authorise("CARD", 1)).accepted is None
        await csms.wait_for("StatusNotification", 3)
        assert (await site.ocpp.authorise("CARD", 5)).accepted is True
        csms.script.script("Authorize", [{"idTagInfo": {"status": "Blocked"}}, {"drop": True}])
        assert (await site.ocpp.authorise("CARD", 5)).accepted is False
        assert (await site.ocpp.authorise("CARD", 0.05)).accepted is None


async def test_configuration_survives_a_restart(csms: CsmsSimulator, tmp_path: Path) -> None:
    async with running(tmp_path, csms.url) as site:
        await csms.wait_for("StatusNotification", 3)
        change = {"key": "meterValueSampleInterval", "value": "5"}
        assert await csms.send(STATION, "ChangeConfiguration", change) == {"status": "Accepted"}
        await site.restart()
        await csms.wait_for("StatusNotification", 6)
        asked = {"key": ["MeterValueSampleInterval"]}
        answer = await csms.send(STATION, "GetConfiguration", asked)
        assert answer["configurationKey"][0]["value"] == "5"


@pytest.mark.parametrize("base", ["ws://host/ocpp", "ws://host/ocpp/"])
def test_the_identity_is_percent_encoded_after_one_slash(base: str) -> None:
    """1.6J 3.1.1."""
    assert Endpoint("A B/C%", base, ("ocpp1.6",)).url == "ws://host/ocpp/A%20B%2FC%25"


async def test_tls_by_url_checks_the_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Security profile 2: wss and a password."""
    certificate, context = _self_signed(tmp_path)
    async with CsmsSimulator(passwords={STATION: "secret"}, tls=context) as csms:
        url = csms.url.replace("127.0.0.1", "localhost")
        with caplog.at_level(logging.WARNING, "baywatt_edge.ocpp"):
            async with running(tmp_path / "a", url, csms_password="secret"):
                await until(lambda: bool(caplog.records))
        assert "certificate" in caplog.records[0].getMessage()
        assert csms.connections == 0
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        async with running(tmp_path / "b", url, csms_password="secret"):
            await csms.wait_for("BootNotification")


def _self_signed(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for localhost that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "csms.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return file, context


async def test_a_station_without_csms_or_version_has_no_tasks(tmp_path: Path) -> None:
    for changes in ({"csms": None}, {"versions": ["2.1"]}):
        async with running(tmp_path, "ws://127.0.0.1:1/ocpp", **changes) as site:
            assert site.ocpp.tasks() == {}
            assert (await site.ocpp.authorise("CARD", 1)).accepted is None


async def test_transactions_that_cannot_be_read_are_given_up_with_a_line(
    csms: CsmsSimulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, csms.url) as site:
        await csms.wait_for("StatusNotification", 3)
        key = f"ocpp:{STATION}:transactions"
        await site.journal.submit(Write(documents={key: {"s1": "garbage"}})).done()
        await site.restart()
        await csms.wait_for("BootNotification", 2)
    assert any("open transactions cannot be read" in r.getMessage() for r in caplog.records)
