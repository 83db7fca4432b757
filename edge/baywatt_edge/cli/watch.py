"""`baywatt status --watch`: the same screen, every second, through restarts of the daemon."""

from __future__ import annotations

import json
import sys
import time
from typing import NoReturn

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from baywatt_edge.cli.client import DaemonClient
from baywatt_edge.cli.exits import NotReachableError
from baywatt_edge.cli.show_status import status_screen

_PERIOD_S = 1.0


def watch_screen(daemon: DaemonClient) -> NoReturn:
    """Until Ctrl-C. The daemon must answer the first time; later silences are shown."""
    console = Console(highlight=False)
    with Live(status_screen(daemon.get("/status")), console=console, auto_refresh=False) as live:
        while True:
            live.update(_screen(daemon), refresh=True)
            time.sleep(_PERIOD_S)


def watch_json(daemon: DaemonClient) -> NoReturn:
    """One status document per line and second; ends when the daemon does."""
    while True:
        sys.stdout.write(json.dumps(daemon.get("/status"), ensure_ascii=False) + "\n")
        sys.stdout.flush()
        time.sleep(_PERIOD_S)


def _screen(daemon: DaemonClient) -> RenderableType:
    try:
        return status_screen(daemon.get("/status"))
    except NotReachableError as error:
        return Text(str(error), style="bold red")
