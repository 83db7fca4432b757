"""Ports for one run, and the site file rewritten to use them."""

from __future__ import annotations

import itertools
import random
import socket
from dataclasses import astuple, dataclass, fields
from pathlib import Path

_LOOPBACK = "127.0.0.1"
_QUIET = range(20_000, 30_000)


@dataclass(frozen=True, slots=True)
class Ports:
    """One TCP port each; the defaults stand in `examples/harbour/site.toml`."""

    broker: int = 18830
    csms: int = 18090
    csms_control: int = 18091
    site_control: int = 18070
    bays: int = 15020
    can: int = 15290
    cloud: int = 18000
    smtp: int = 18025


def choose_ports(*, usual: bool = True) -> Ports:
    """The usual ports when all are free (and wanted), else any free ones.

    These lie below the range from which systems pick ports of outgoing connections: a port whose
    server is down for a while, as the broker's in the story, stays free for it.
    """
    if usual and all(_is_free(port) for port in astuple(Ports())):
        return Ports()
    candidates = (port for port in random.sample(_QUIET, len(_QUIET)) if _is_free(port))
    return Ports(*itertools.islice(candidates, len(fields(Ports))))


def _is_free(port: int) -> bool:
    try:
        with socket.create_server((_LOOPBACK, port)):
            return True
    except OSError:
        return False


def write_site_file(source: Path, target: Path, ports: Ports) -> None:
    """Copy the site file with this run's ports in place of the usual ones."""
    text = source.read_text(encoding="utf-8")
    usual = Ports()
    for name in ("broker", "csms", "bays", "can"):
        text = text.replace(str(getattr(usual, name)), str(getattr(ports, name)))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
