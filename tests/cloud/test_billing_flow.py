"""From the site's events to a paid receipt, on both databases."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest
from billing_world import SITE, Driver, SiteFeed, register
from httpx import AsyncClient
from pypdf import PdfReader
from sqlalchemy import func, select, update

from baywatt_cloud.billing.gateway import Chaos, FakeGateway
from baywatt_cloud.billing.models import Hold, Invoice, Payment
from baywatt_cloud.billing.payments import GatewayPayments
from baywatt_cloud.billing.reconcile import Report, reconcile
from baywatt_cloud.kit import relay
from baywatt_cloud.kit.services import Services
from baywatt_cloud.models import ChargingSession, MeterSample, Tariff
from baywatt_contract.clock import ClockQuality, format_utc_ms
from baywatt_contract.messages import items_hash

# 8.765 kWh x 0.49 = 4.29, session 0.35, 12 min idle x 6.00/h = 1.20; 5.84 + 19 % = 6.95
NET, TAX, GROSS = 584, 111, 695


@pytest.fixture
async def feed(api: AsyncClient, services: Services, clock: Any) -> SiteFeed:
    made = SiteFeed(services, clock())
    await made.describe()
    return made


@pytest.fixture
async def driver(api: AsyncClient, services: Services) -> Driver:
    return await register(services)


def gateway_of(services: Services) -> FakeGateway:
    assert isinstance(services.payments, GatewayPayments)
    assert isinstance(services.payments.gateway, FakeGateway)
    return services.payments.gateway


async def report(services: Services) -> Report:
    async with services.database.read() as db:
        return await reconcile(db, gateway_of(services))


async def invoice_of(api: AsyncClient, driver: Driver, session: str) -> dict[str, Any]:
    listed = await api.get(f"/billing/invoices?session_id={session}", headers=driver.headers)
    assert listed.status_code == 200, listed.text
    (item,) = listed.json()["items"]
    answer = await api.get(f"/billing/invoices/{item['invoice_id']}", headers=driver.headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def book(api: AsyncClient, driver: Driver, services: Services) -> dict[str, Any]:
    """Quote and book connector 1 for two hours from now."""
    now_ms = services.clock()
    window = {"from": format_utc_ms(now_ms), "to": format_utc_ms(now_ms + 2 * 3_600_000)}
    quote = await api.post(
        "/charging/quote",
        headers=driver.headers,
        json={"evse_id": f"{SITE}.1", "energy_wh": 9_000, **window},
    )
    assert quote.status_code == 201, quote.text
    booked = await api.post(
        "/charging/booking", headers=driver.headers, json={"quote_id": quote.json()["quote_id"]}
    )
    assert booked.status_code == 201, booked.text
    return quote.json() | booked.json()


async def test_a_visit_becomes_one_paid_invoice_that_explains_itself(
    api: AsyncClient, services: Services, feed: SiteFeed, driver: Driver
) -> None:
    await feed.visit("s1", driver.app_token)
    invoice = await invoice_of(api, driver, "s1")
    assert (invoice["net_minor"], invoice["tax_minor"], invoice["gross_minor"]) == (NET, TAX, GROSS)
    assert invoice["energy_wh"] == 8_765
    assert invoice["status"] == "SUCCEEDED"
    assert invoice["number"] == "BW-000001"
    energy = next(line for line in invoice["lines"] if line["dimension"] == "ENERGY")
    assert energy["clause"] == "elements[0].price_components[0]"
    assert energy["quantity"] == "1753/200"
    assert (energy["evidence"]["begin_wh"], energy["evidence"]["end_wh"]) == (1_000, 9_765)
    assert energy["evidence"]["readings"][0].startswith(f"{SITE}:e1:")
    assert sum(line["amount_minor"] for line in invoice["lines"]) == NET
    explained = await api.get("/charging/sessions/s1/explain", headers=driver.headers)
    assert len(explained.json()["lines"]) == 3
    assert (await report(services)).ok


async def test_the_pdf_shows_clause_readings_and_total(
    api: AsyncClient, feed: SiteFeed, driver: Driver
) -> None:
    await feed.visit("s1", driver.app_token)
    invoice = await invoice_of(api, driver, "s1")
    answer = await api.get(invoice["pdf"], headers=driver.headers)
    assert answer.headers["content-type"] == "application/pdf"
    reader = PdfReader(io.BytesIO(answer.content))
    assert len(reader.pages) == 1
    text = reader.pages[0].extract_text()
    for word in ("BW-000001", "6.95 EUR", "price_components[0]", "register 1000 to 9765 Wh",
                 "Harbour Street", "Transaction.End", "Paid."):  # fmt: skip
        assert word in text


async def test_the_hold_of_a_booking_is_captured_and_the_rest_released(
    api: AsyncClient, services: Services, feed: SiteFeed, driver: Driver
) -> None:
    booking = await book(api, driver, services)
    assert booking["likely_minor"] < booking["worst_minor"]
    await feed.visit("s1", driver.app_token, booking_id=booking["booking_id"])
    invoice = await invoice_of(api, driver, "s1")
    assert invoice["payment"] == {
        "status": "SUCCEEDED",
        "paid_minor": GROSS,
        "reason": "",
        "released_minor": booking["worst_minor"] - GROSS,
    }
    (intent,) = await gateway_of(services).all()
    assert (intent.state, intent.captured_minor) == ("CAPTURED", GROSS)
    assert (await report(services)).ok


async def test_a_cancelled_booking_gets_its_hold_back(
    api: AsyncClient, services: Services, feed: SiteFeed, driver: Driver
) -> None:
    booking = await book(api, driver, services)
    gone = await api.delete(f"/charging/booking/{booking['booking_id']}", headers=driver.headers)
    assert gone.status_code == 200, gone.text
    (intent,) = await gateway_of(services).all()
    assert intent.state == "RELEASED"
    assert (await report(services)).ok


async def test_what_exceeds_the_hold_is_captured_beside_it(
    api: AsyncClient, services: Services, feed: SiteFeed, driver: Driver
) -> None:
    booking = await book(api, driver, services)
    async with services.database.write() as db:
        hold = (await db.scalars(select(Hold))).one()
        hold.amount_minor = 200  # the gateway holds more, we may take 2.00 of it
    await feed.visit("s1", driver.app_token, booking_id=booking["booking_id"])
    async with services.database.read() as db:
        payment = (await db.scalars(select(Payment))).one()
    assert [part["amount_minor"] for part in payment.parts] == [200, GROSS - 200]
    assert (await report(services)).ok


@pytest.mark.parametrize("chaos", [Chaos.LOST_BEFORE, Chaos.LOST_AFTER])
async def test_a_gateway_that_does_not_answer_charges_once(
    api: AsyncClient, services: Services, feed: SiteFeed, driver: Driver, clock: Any, chaos: Chaos
) -> None:
    booking = await book(api, driver, services)
    gateway_of(services).chaos.extend([chaos, chaos])
    await feed.visit("s1", driver.app_token, booking_id=booking["booking_id"])
    assert (await invoice_of(api, driver, "s1"))["status"] == "OPEN"
    for _ in range(3):
        clock.advance(seconds=60)
        await relay.deliver_due(services.database)
    invoice = await invoice_of(api, driver, "s1")
    assert (invoice["status"], invoice["payment"]["paid_minor"]) == ("SUCCEEDED", GROSS)
    assert sum(intent.captured_minor for intent in await gateway_of(services).all()) == GROSS
    assert (await report(services)).ok


async def test_a_declined_payment_is_an_open_invoice_that_reconcile_lists(
    api: AsyncClient, services: Services, feed: SiteFeed, driver: Driver
) -> None:
    gateway_of(services).chaos.append(Chaos.DECLINE)
    await feed.visit("s1", driver.app_token)
    assert (await invoice_of(api, driver, "s1"))["status"] == "DECLINED"
    (finding,) = (await report(services)).findings
    assert (finding.kind, finding.subject) == ("not-paid", "BW-000001")


async def test_a_declined_hold_leaves_no_booking(
    api: AsyncClient, services: Services, feed: SiteFeed, driver: Driver
) -> None:
    gateway_of(services).chaos.append(Chaos.DECLINE)
    now_ms = services.clock()
    window = {"from": format_utc_ms(now_ms), "to": format_utc_ms(now_ms + 3_600_000)}
    quote = await api.post(
        "/charging/quote", headers=driver.headers, json={"evse_id": f"{SITE}.1", **window}
    )
    body = {"quote_id": quote.json()["quote_id"]}
    answer = await api.post("/charging/booking", headers=driver.headers, json=body)
    assert answer.status_code == 402
    assert answer.json()["type"].endswith("/payment-declined")
    again = await api.post("/charging/booking", headers=driver.headers, json=body)
    assert again.status_code == 201, again.text


async def test_numbers_have_no_gap_under_concurrent_deliveries(
    api: AsyncClient, services: Services, feed: SiteFeed, driver: Driver
) -> None:
    for number in range(6):
        feed.start(f"s{number}", driver.app_token, begin_wh=number * 1_000)
        feed.stop(f"s{number}", number * 1_000 + 500, 60)
    before = relay.deliver_due

    async def hold(_database: object, _limit: int = 100) -> int:
        return 0

    relay.deliver_due = hold  # type: ignore[assignment]
    try:
        await feed.deliver()
    finally:
        relay.deliver_due = before
    for _ in range(4):
        await asyncio.gather(*(relay.deliver_due(services.database) for _ in range(4)))
        services.clock.advance(seconds=600)  # type: ignore[attr-defined]
    async with services.database.read() as db:
        numbers = sorted(await db.scalars(select(Invoice.number)))
    assert numbers == [1, 2, 3, 4, 5, 6]
    assert (await report(services)).ok


async def test_a_session_of_the_other_ledger_gets_no_cdr(
    api: AsyncClient, services: Services, feed: SiteFeed, driver: Driver
) -> None:
    await feed.visit("s1", driver.app_token, bill="csms")
    listed = await api.get("/billing/invoices", headers=driver.headers)
    assert listed.json()["items"] == []
    found = await report(services)
    assert (found.ok, found.billed_elsewhere) == (True, 1)


async def test_what_cannot_be_priced_is_parked_with_its_reason(
    api: AsyncClient, services: Services, feed: SiteFeed, driver: Driver
) -> None:
    await feed.visit("s1", "DEADBEEF")
    (finding,) = (await report(services)).findings
    assert finding.kind == "parked"
    assert "nobody to bill" in finding.detail


async def test_an_unset_clock_never_prices_by_the_time_of_day(
    api: AsyncClient, services: Services, feed: SiteFeed, driver: Driver
) -> None:
    async with services.database.write() as db:
        tariff = (await db.scalars(select(Tariff))).one()
        ocpi = {**tariff.ocpi, "elements": [
            {**tariff.ocpi["elements"][0], "restrictions": {"start_time": "08:00"}}]}  # fmt: skip
        values = {"ocpi": ocpi, "hash": items_hash([ocpi])}
        await db.execute(update(Tariff).values(**values))
    feed.quality = ClockQuality.UNSYNCED
    await feed.visit("s1", driver.app_token)
    (finding,) = (await report(services)).findings
    assert "clock was not set" in finding.detail


async def test_a_tariff_that_was_tampered_with_bills_nobody(
    api: AsyncClient, services: Services, feed: SiteFeed, driver: Driver
) -> None:
    async with services.database.write() as db:
        await db.execute(update(Tariff).values(hash="0" * 64))
    await feed.visit("s1", driver.app_token)
    assert "differs from its hash" in (await report(services)).findings[0].detail


async def test_reconcile_finds_energy_that_went_missing(
    api: AsyncClient, services: Services, feed: SiteFeed, driver: Driver
) -> None:
    await feed.visit("s1", driver.app_token)
    async with services.database.write() as db:
        last = await db.scalar(select(func.max(MeterSample.id)))
        await db.execute(update(MeterSample).where(MeterSample.id == last).values(energy_wh=9_999))
        await db.execute(update(ChargingSession).values(end_wh=9_999))
    kinds = [finding.kind for finding in (await report(services)).findings]
    assert kinds == ["energy", "energy"]


async def test_invoices_are_private(
    api: AsyncClient, services: Services, feed: SiteFeed, driver: Driver
) -> None:
    await feed.visit("s1", driver.app_token)
    invoice = await invoice_of(api, driver, "s1")
    other = await register(services, "other@example.org")
    for url in (f"/billing/invoices/{invoice['invoice_id']}", invoice["pdf"]):
        assert (await api.get(url, headers=other.headers)).status_code == 404
        assert (await api.get(url)).status_code == 401
    listed = await api.get("/billing/invoices?session_id=s1", headers=other.headers)
    assert listed.json()["items"] == []
