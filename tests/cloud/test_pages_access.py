"""Pages without a browser: who sees what, and what strangers cannot slip in."""

from __future__ import annotations

from typing import Any

import pytest
from billing_world import SITE, SiteFeed, register
from httpx import AsyncClient

from baywatt_cloud.kit.identity import SESSION_COOKIE
from baywatt_cloud.kit.services import Services
from baywatt_cloud.pages.access import safe_next
from baywatt_cloud.pages.prices import in_words


@pytest.mark.parametrize(
    ("path", "goes"),
    [
        ("/book/a.1", "/book/a.1"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
        ("", "/"),
    ],
)
def test_the_login_never_leads_to_another_host(path: str, goes: str) -> None:
    assert safe_next(path) == goes


def test_a_price_is_said_with_tax() -> None:
    ocpi = {
        "currency": "EUR",
        "elements": [
            {"price_components": [{"type": "ENERGY", "price": 0.5, "vat": 20}]},
            {"price_components": [{"type": "PARKING_TIME", "price": 3}]},
        ],
    }
    assert in_words(ocpi) == "0.60 EUR/kWh + 3.00 EUR/h when full"
    assert in_words({"elements": []}) == in_words(None) == ""


async def test_strangers_are_sent_to_the_login_and_markup_is_shown_as_text(
    api: AsyncClient, services: Services, clock: Any
) -> None:
    feed = SiteFeed(services, clock())
    await feed.describe()
    driver = await register(services)
    for path in (f"/book/{SITE}.1", "/sessions/s1", "/receipts/x", "/operator"):
        answer = await api.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next={path}")
    assert (await api.get("/operator/board")).status_code == 204
    home = await api.get("/", params={"q": "<script>x</script>"}, headers=driver.headers)
    assert home.status_code == 200
    assert "<script>x" not in home.text
    assert "default-src 'self'" in home.headers["content-security-policy"]
    assert (await api.get("/operator", headers=driver.headers)).status_code == 403
    assert (await api.get("/receipts/x", headers=driver.headers)).status_code == 404
    assert (await api.get("/static/..%2froutes.py")).status_code == 404


async def test_logging_out_forgets_the_cookie(api: AsyncClient) -> None:
    form = {"email": "kim@example.org", "password": "a long pass phrase"}
    made = await api.post("/register", data=form)
    assert made.status_code == 303
    assert "HttpOnly" in made.headers["set-cookie"]
    assert SESSION_COOKIE in api.cookies
    assert (await api.get("/auth/me")).status_code == 200
    await api.post("/logout")
    assert (await api.get("/auth/me")).status_code == 401
    assert (await api.post("/register", data=form)).status_code == 409
    short = await api.post("/register", data={"email": "a@b.example", "password": "short"})
    assert short.status_code == 422
