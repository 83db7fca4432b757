"""What every bench gives: figures beside a peer or a limit, as one table or as JSON lines."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass

HEADER = ("figure", "ours", "beside it", "ratio", "better", "aim")


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `met` is None where there is no aim."""

    figure: str
    ours: float
    unit: str
    beside: str  # the peer or the physical limit
    theirs: float
    aim: str = ""
    met: bool | None = None

    @property
    def ratio(self) -> float | None:
        """Ours divided by what stands beside it."""
        return self.ours / self.theirs if self.theirs else None

    @property
    def better(self) -> str:
        """Whether a rate, of which more is better, or a cost."""
        return "more" if self.unit.endswith("/s") else "less"

    def cells(self) -> tuple[str, ...]:
        """The texts of the table's row."""
        mark = {True: "ok", False: "missed", None: ""}[self.met]
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        beside = f"{number(self.theirs)} {self.unit}  {self.beside}"
        return (
            self.figure, f"{number(self.ours)} {self.unit}", beside, ratio,
            self.better, f"{self.aim} {mark}".strip(),
        )  # fmt: skip

    def line(self) -> str:
        """One JSON object."""
        ratio = None if self.ratio is None else round(self.ratio, 4)
        return json.dumps({**asdict(self), "ratio": ratio})

    @classmethod
    def of(cls, line: str) -> Figure:
        """From `line`."""
        document = json.loads(line)
        document.pop("ratio")
        return cls(**document)


def number(value: float) -> str:
    """Three significant digits, and whole numbers above."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(figures: Sequence[Figure]) -> str:
    """Aligned columns."""
    rows = [HEADER, *(each.cells() for each in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def run(measure: Callable[[bool], Coroutine[None, None, list[Figure]]], what: str | None) -> None:
    """The command line of a bench: `[--quick] [--json]`."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--quick", action="store_true", help="shorter rounds, rougher figures")
    parser.add_argument("--json", action="store_true", help="one JSON object per figure")
    arguments = parser.parse_args()
    figures = asyncio.run(measure(arguments.quick))
    text = "\n".join(each.line() for each in figures) if arguments.json else table(figures)
    sys.stdout.write(text + "\n")
