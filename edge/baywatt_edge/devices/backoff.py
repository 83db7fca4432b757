"""Waiting between two attempts to open a bus, without missing a heartbeat."""

from __future__ import annotations

import asyncio

from baywatt_contract.house import Beat

_STEP_S = 0.5


class Backoff:
    """Half a second at first, doubled up to `limit_s`; a success begins anew."""

    def __init__(self, first_s: float = 0.5, limit_s: float = 10.0) -> None:
        self._first_s = first_s
        self._limit_s = limit_s
        self._next_s = first_s

    def reset(self) -> None:
        """It worked."""
        self._next_s = self._first_s

    async def wait(self, beat: Beat) -> None:
        """Sleep for the next pause and beat meanwhile: waiting is part of the task's job."""
        left, self._next_s = self._next_s, min(self._limit_s, self._next_s * 2)
        while left > 0:
            beat()
            await asyncio.sleep(min(left, _STEP_S))
            left -= _STEP_S
        beat()
