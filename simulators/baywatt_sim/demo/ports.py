"""Ports for one run, and the site file rewritten to use them."""

from __future__ import annotations

import socket
from dataclasses import astuple, dataclass
from pathlib import Path

_LOOPBACK = "127.0.0.1"


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


def choose_ports() -> Ports:
    """The usual ports when all are free, else any free ones."""
    usual = Ports()
    if all(_is_free(port) for port in astuple(usual)):
        return usual
    sockets = [socket.create_server((_LOOPBACK, 0)) for _ in astuple(usual)]
    try:
        return Ports(*(each.getsockname()[1] for each in sockets))
    finally:
        for each in sockets:
            each.close()


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
