"""What happened, told so that a person can follow it."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

_STYLES = {
    "stack": "dim",
    "driver": "bold cyan",
    "site": "green",
    "cloud": "blue",
    "trouble": "bold red",
    "books": "bold yellow",
}


class Timeline:
    """Prints one line per happening with the seconds since the start."""

    def __init__(self, console: Console, now_s: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._now_s = now_s
        self._began = now_s()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return self._now_s() - self._began

    def tell(self, who: str, text: str) -> None:
        """One happening."""
        style = _STYLES.get(who, "")
        self._console.print(
            f"[dim]{self.elapsed_s:6.1f} s[/]  [{style}]{who:<8}[/] {text}", highlight=False
        )

    def show(self, table: Table) -> None:
        """A table between the lines."""
        self._console.print(table)
