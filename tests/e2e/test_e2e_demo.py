"""The demo as a test: its story on real transports, and books that are equal to the watt-hour.

Once on SQLite as `make demo` plays it, once with the cloud on PostgreSQL.
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import Postgres, running_postgres
from rich.console import Console

from baywatt_sim.demo.stack import Stack
from baywatt_sim.demo.story import Story
from baywatt_sim.demo.timeline import Timeline

pytestmark = [pytest.mark.xdist_group("stack")]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


async def _play(stack: Stack, *, hurry: bool) -> Story:
    """The story, told into a text that a failure shows."""
    told = io.StringIO()
    story = Story(stack, Timeline(Console(file=told, width=120)), hurry=hurry)
    try:
        problems = await story.play()
    finally:
        print(told.getvalue())  # noqa: T201 - pytest shows it when the story fails
    assert problems == []
    return story


async def _migrate(url: str) -> None:
    """As an operator does before the first start; only SQLite migrates by itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "baywatt_cloud", "migrate",
        env={**os.environ, "BAYWATT_DATABASE_URL": url},
    )  # fmt: skip
    assert await process.wait() == 0


def _receipts_are_whole(story: Story) -> None:
    assert len(story.invoices) == len(story.pdfs) == 2
    assert len({each["number"] for each in story.invoices}) == 2
    for invoice, pdf in zip(story.invoices, story.pdfs, strict=True):
        assert invoice["energy_wh"] > 5
        assert invoice["payment"]["paid_minor"] == invoice["gross_minor"] > 0
        assert pdf.read_bytes().startswith(b"%PDF-")


def _nothing_failed_silently(stack: Stack) -> None:
    for log in (stack.folder / "logs").glob("*.log"):
        text = log.read_text(encoding="utf-8", errors="replace")
        assert "Traceback" not in text, f"{log.name}:\n{text[-4000:]}"


async def test_the_story_ends_with_equal_books_on_sqlite(tmp_path: Path) -> None:
    async with Stack(tmp_path / "demo") as stack:
        _receipts_are_whole(await _play(stack, hurry=False))
        recipients = {address for mail in stack.mails.mails for address in mail.recipients}
        assert recipients == {"ada@example.org", "ben@example.org"}
    _nothing_failed_silently(stack)


async def test_the_story_ends_with_equal_books_on_postgresql(
    tmp_path: Path, postgres: Postgres
) -> None:
    url = postgres.url(await asyncio.to_thread(postgres.create, None))
    await _migrate(url)
    async with Stack(tmp_path / "demo", env={"BAYWATT_DATABASE_URL": url}) as stack:
        _receipts_are_whole(await _play(stack, hurry=True))
    assert not (tmp_path / "demo" / "cloud.db").exists(), "the cloud did not use PostgreSQL"
    _nothing_failed_silently(stack)
