"""What a core asks its shell to do, and what the shell reports back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from baywatt_contract.clock import Instant
from baywatt_contract.wishes import Outcome, Wish


def _nothing(_now: Instant) -> None:
    """For effects that nobody waits for."""


def _ignored(_outcome: Outcome, _now: Instant) -> None:
    """For wishes whose answer changes nothing."""


@dataclass(frozen=True, slots=True)
class Transmit:
    """Write these bytes to the CSMS, in order."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the house; `after_flush` means: not before everything written so far has left."""

    wish: Wish
    then: Callable[[Outcome, Instant], None] = _ignored
    after_flush: bool = False


@dataclass(frozen=True, slots=True)
class Save:
    """Write to the journal in one transaction; `then` is called when it survives a power cut."""

    documents: Mapping[str, Any] = field(default_factory=dict)
    cursors: Mapping[str, int] = field(default_factory=dict)
    then: Callable[[Instant], None] = _nothing


@dataclass(frozen=True, slots=True)
class Trust:
    """The CSMS said what time it is."""

    utc_ms: int


@dataclass(frozen=True, slots=True)
class Probe:
    """Send a ping now: is anybody there? Either the core hears `alive` or the connection ends."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One line for the log."""

    text: str
    level: int = logging.INFO


Effect = Transmit | Ask | Save | Trust | Probe | Notice
