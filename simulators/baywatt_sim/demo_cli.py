"""`baywatt-sim demo`: the whole story on real transports, with the books checked at the end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from baywatt_sim.demo.driver import ApiError
from baywatt_sim.demo.stack import Stack, StackError
from baywatt_sim.demo.story import Story
from baywatt_sim.demo.timeline import Timeline


def demo(
    *,
    keep: Annotated[bool, typer.Option(help="Leave everything running at the end.")] = False,
    folder: Annotated[Path, typer.Option(help="Where the run keeps its files.")] = Path("run/demo"),
    picture: Annotated[Path | None, typer.Option(help="Also draw the run as an SVG file.")] = None,
) -> None:
    """Play a driver from booking to receipt, with an outage and a power cut in between."""
    console = Console() if picture is None else Console(record=True, width=92)
    problems = asyncio.run(_play(console, folder, keep=keep))
    if picture is not None:
        console.save_svg(str(picture), title="make demo")
    if problems:
        for problem in problems:
            console.print(f"[bold red]the books differ:[/] {problem}", highlight=False)
        raise typer.Exit(1)


async def _play(out: Console, folder: Path, *, keep: bool) -> list[str]:
    timeline = Timeline(out)
    timeline.tell("stack", "starting broker, cloud, CSMS, simulated site and daemon")
    try:
        async with Stack(folder) as stack:
            story = Story(stack, timeline)
            problems = await story.play()
            if not problems:
                out.print("[bold green]journal = OCPP = CDR = invoice = payment[/]")
            for pdf in story.pdfs:
                out.print(f"receipt: {_near(pdf)}", highlight=False)
            if keep:
                _show_urls(out, stack.cloud_url)
                await asyncio.Event().wait()
            return problems
    except (StackError, ApiError, AssertionError, TimeoutError) as error:
        return [f"{error} (logs in {folder / 'logs'})"]


def _near(path: Path) -> Path:
    """The path as one would type it from here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _show_urls(out: Console, url: str) -> None:
    for name, path in (("operator", "/operator"), ("driver", "/"), ("API", "/docs")):
        out.print(f"{name:<9} {url}{path}", highlight=False)
    out.print("running until Ctrl-C")
