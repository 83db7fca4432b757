"""Heartbeats after silence, and the clock set from what the CSMS says (1.6, 4.6; 1.6J, 5.3)."""

from __future__ import annotations

import logging
from collections.abc import Callable

from baywatt_contract.clock import Instant, parse_utc_ms
from baywatt_edge.ocpp.effects import Effect, Notice, Trust
from baywatt_edge.ocpp.frames import Json
from baywatt_edge.ocpp.outbox import Outbox, Outgoing
from baywatt_edge.ocpp.rpc import Failure
from baywatt_edge.ocpp.v16.config import Config
from baywatt_edge.ocpp.v16.config_keys import DAY_S

_PLAUSIBLE_UTC_MS = range(1_577_836_800_000, 4_102_444_800_000)  # the years 2020 to 2099


class Heartbeat:
    """Knows when the last exchange was, and when the clock was last set."""

    def __init__(self, config: Config, outbox: Outbox, emit: Callable[[Effect], None]) -> None:
        self._config = config
        self._outbox = outbox
        self._emit = emit
        self._exchanged_ms = 0
        self._clock_set_ms = 0

    def exchanged(self, now: Instant) -> None:
        """A CALL of ours left, or the connection began."""
        self._exchanged_ms = now.mono_ms

    def next_due_ms(self) -> int | None:
        """After the interval without an exchange, and once a day for the time."""
        if self._outbox.has("Heartbeat"):
            return None
        daily_ms = self._clock_set_ms + DAY_S * 1000
        interval_s = self._config.integer("HeartbeatInterval")
        if interval_s == 0:
            return daily_ms
        return min(daily_ms, self._exchanged_ms + interval_s * 1000)

    def queue(self, *, triggered: bool = False) -> None:
        """Send one in its turn."""
        self._outbox.put(Outgoing("Heartbeat", lambda _: {}, self._answered, triggered=triggered))

    def set_clock(self, answer: Json, now: Instant) -> None:
        """Take `currentTime` over, if it is one that can be true."""
        self._clock_set_ms = now.mono_ms
        try:
            utc_ms = parse_utc_ms(str(answer["currentTime"]))
        except (ValueError, OverflowError):
            utc_ms = 0
        if utc_ms in _PLAUSIBLE_UTC_MS:
            self._emit(Trust(utc_ms))
        else:
            text = f"the CSMS sent an unusable currentTime: {answer['currentTime']!r}"
            self._emit(Notice(text[:200], logging.WARNING))

    def _answered(self, outcome: Json | Failure, now: Instant) -> None:
        if not isinstance(outcome, Failure):
            self.set_clock(outcome, now)
