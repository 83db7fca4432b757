"""The pages in a real browser, against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from billing_world import SITE, Driver, SiteFeed, register
from playwright.async_api import Browser, Page, async_playwright, expect
from sqlalchemy import update

from baywatt_cloud.app import create_app
from baywatt_cloud.kit.clock import system_clock
from baywatt_cloud.kit.identity import SESSION_COOKIE, issue_token
from baywatt_cloud.kit.services import Services
from baywatt_cloud.kit.settings import Settings
from baywatt_cloud.models import Role, User
from baywatt_contract import events as ev
from baywatt_contract.clock import format_utc_ms
from baywatt_contract.messages import Live, LiveConnector

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[str, Services]]:
    """A server on a free port, with its workers."""
    app = create_app(Settings(database_url=f"sqlite+aiosqlite:///{tmp_path}/cloud.db"))
    config = uvicorn.Config(
        app, port=0, log_config=None, ws="websockets-sansio", timeout_graceful_shutdown=2
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not server.started:
            await asyncio.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}", app.state.services
    server.should_exit = True
    await task


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as play:
        made = await play.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield made
        await made.close()


async def page_of(browser: Browser, url: str, services: Services, driver: Driver) -> Page:
    context = await browser.new_context(viewport={"width": 390, "height": 844})
    token = issue_token(services, driver.user_id)
    await context.add_cookies([{"name": SESSION_COOKIE, "value": token, "url": url}])
    page = await context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.problems = problems  # type: ignore[attr-defined]
    return page


def live(power_w: int, **more: Any) -> Live:
    shown = LiveConnector(
        status="Charging", session="s1", power_w=power_w, energy_wh=1_234, limit_ma=16_000,
        reason="the fuse is shared", **more,
    )  # fmt: skip
    connectors = {1: shown, 2: LiveConnector(status="Available")}
    now = format_utc_ms(system_clock())
    return Live(at=now, connectors=connectors, supply_ma=(54_000, 20_000, 63_000))


async def no_sideways_scrolling(page: Page) -> None:
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert await page.evaluate(f"() => {wide}") == 0


async def test_a_driver_registers_sees_the_price_and_books(
    served: tuple[str, Services], browser: Browser
) -> None:
    url, services = served
    feed = SiteFeed(services, system_clock())
    await feed.describe()
    page = await browser.new_page(viewport={"width": 390, "height": 844})
    await page.goto(f"{url}/book/{SITE}.2")
    await page.fill("#email", "kim@example.org")
    await page.fill("#password", "wrong one")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.locator(".note")).to_have_text("E-mail or password is wrong.")
    await page.fill("#password", "a long pass phrase")
    await page.get_by_role("button", name="Open an account").click()
    await page.wait_for_url(f"{url}/book/{SITE}.2")
    cookie = next(each for each in await page.context.cookies() if each["name"] == SESSION_COOKIE)
    assert cookie["httpOnly"]
    await page.fill("#kwh", "10")
    await expect(page.locator(".likely")).to_contain_text("6.25")  # (4.90 + 0.35) x 1.19
    await page.click("#book")
    await page.wait_for_url(f"{url}/")
    await expect(page.locator("main")).to_contain_text(f"Booked: {SITE}.2")
    await no_sideways_scrolling(page)


async def test_a_session_is_watched_live_and_ends_in_a_receipt(
    served: tuple[str, Services], browser: Browser
) -> None:
    url, services = served
    feed = SiteFeed(services, system_clock() - 4_000_000)
    await feed.describe()
    driver = await register(services)
    feed.start("s1", driver.app_token)
    feed.sample("s1", 4_000, 1_000)
    await feed.deliver()
    page = await page_of(browser, url, services, driver)
    await page.goto(f"{url}/sessions/s1")
    await expect(page.locator("#energy")).to_have_text("3.000")
    services.hub.publish(SITE, live(7_400), services.clock())
    await expect(page.locator("#power")).to_have_text("7.4")
    await expect(page.locator("#reason")).to_have_text("the fuse is shared")
    points = await page.locator("#plot .line").get_attribute("points")
    assert points is not None
    assert len(points.split()) >= 3
    feed.stop("s1", 9_765, 1_880)
    await feed.deliver()
    await page.get_by_role("link", name="Receipt").click(timeout=15_000)
    await expect(page.locator("main")).to_contain_text("register 1000 → 9765 Wh")
    await no_sideways_scrolling(page)
    assert page.problems == []  # type: ignore[attr-defined]


async def test_the_operator_sees_tiles_phases_and_nobody_else_does(
    served: tuple[str, Services], browser: Browser
) -> None:
    url, services = served
    feed = SiteFeed(services, system_clock())
    await feed.describe()
    operator = await register(services, "op@example.org")
    page = await page_of(browser, url, services, operator)
    await page.goto(f"{url}/operator")
    await expect(page.locator("h1")).to_have_text("Not allowed")
    async with services.database.write() as db:
        await db.execute(update(User).values(role=Role.OPERATOR))
    services.hub.publish(SITE, live(11_000), services.clock())
    await page.goto(f"{url}/operator")
    await expect(page.locator(".tile.s-Charging .big")).to_have_text("11.0 kW")
    await expect(page.locator("svg.bar")).to_have_count(3)
    await expect(page.locator("svg.bar.full")).to_have_count(1)
    feed.say(ev.ConnectorChanged(connector=3, status=ev.ConnectorStatus.FAULTED, reason="leak"))
    await feed.deliver()
    await expect(page.locator(".tile.s-Faulted")).to_contain_text("leak", timeout=10_000)
    await no_sideways_scrolling(page)
