"""Quotes and the `price` command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from billing_world import SITE, SiteFeed, register
from httpx import AsyncClient
from hypothesis import given
from hypothesis import strategies as st

from baywatt_cloud.billing.defaults import default_ocpi
from baywatt_cloud.charging.quote import Plan, estimate
from baywatt_cloud.kit.services import Services
from baywatt_contract.clock import format_utc_ms
from baywatt_contract.tariff import Tariff

HOUR_MS = 3_600_000
TARIFF = Tariff.model_validate(default_ocpi("t"))


@given(
    st.integers(5 * 60_000, 48 * HOUR_MS),
    st.sampled_from([0, 3_680, 22_080, 350_000]),
    st.one_of(st.none(), st.integers(1, 10**6)),
)
def test_the_worst_case_is_never_below_the_likely_one(
    length_ms: int, power_w: int, energy_wh: int | None
) -> None:
    plan = Plan.of_ms("Europe/Berlin", 0, length_ms, power_w, energy_wh)
    found = estimate(TARIFF, plan)
    assert 0 < found.likely.gross_minor <= found.worst.gross_minor


def test_the_worst_case_includes_idling_until_the_end() -> None:
    found = estimate(TARIFF, Plan.of_ms("UTC", 0, 2 * HOUR_MS, 120_000, 30_000))
    # 120 kWh in the first hour, an hour idle, the session fee; 19 % tax.
    assert found.worst.total.net_minor == 5_880 + 600 + 35
    assert found.likely.total.net_minor == 1_470 + 35


async def test_a_quote_is_kept_and_explains_itself(
    api: AsyncClient, services: Services, clock: Any
) -> None:
    feed = SiteFeed(services, clock())
    await feed.describe()
    driver = await register(services)
    window = {"from": format_utc_ms(clock()), "to": format_utc_ms(clock() + HOUR_MS)}
    body = {"evse_id": f"{SITE}.1", "energy_wh": 10_000, **window}
    answer = await api.post("/charging/quote", json=body, headers=driver.headers)
    assert answer.status_code == 201, answer.text
    quote = answer.json()
    assert (quote["likely_minor"], quote["currency"]) == (625, "EUR")
    assert {line["clause"] for line in quote["lines"]} == {
        "elements[0].price_components[0]",
        "elements[0].price_components[1]",
    }
    for wrong, status in (
        ({**window}, 422),
        ({"evse_id": "nowhere.1", **window}, 404),
        ({"evse_id": f"{SITE}.1", "from": window["to"], "to": window["from"]}, 422),
    ):
        refused = await api.post("/charging/quote", json=wrong, headers=driver.headers)
        assert refused.status_code == status, refused.text
    assert (await api.post("/charging/quote", json=body)).status_code == 401
    clock.advance(seconds=16 * 60)
    late = await api.post(
        "/charging/booking", json={"quote_id": quote["quote_id"]}, headers=driver.headers
    )
    assert late.status_code in {409, 410, 422}


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "baywatt_cloud", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    path = tmp_path / "visit.json"
    periods = [
        {"state": "CHARGING", "start": "2026-05-06T10:00:00Z", "end": "2026-05-06T10:30:00Z",
         "energy_wh": 7_000},
        {"state": "PARKING", "start": "2026-05-06T10:30:00Z", "end": "2026-05-06T10:40:00Z",
         "energy_wh": 0},
    ]  # fmt: skip
    visit = {"tariff": default_ocpi("t"), "time_zone": "Europe/Berlin", "periods": periods}
    path.write_text(json.dumps(visit))
    return path


def test_price_prints_exact_fractions(request_file: Path) -> None:
    done = run("price", str(request_file), "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["excl_vat"], answer["excl_vat_minor"]) == ("239/50", 478)
    assert answer["incl_vat_minor"] == 569
    assert {"dimension", "quantity", "unit_price", "clause", "excl_vat"} <= answer["lines"][
        0
    ].keys()


def test_price_for_people_and_for_mistakes(request_file: Path) -> None:
    table = run("price", str(request_file))
    assert "5.69 EUR" in table.stdout
    request_file.write_text('{"tariff": {}}')
    wrong = run("price", str(request_file), "--json")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.count("\n") == 1
    assert "tariff.currency" in wrong.stderr
    assert run("price", str(request_file.with_name("none.json"))).returncode == 2
