"""A Modbus RTU slave, sans-I/O (Modbus over serial line V1.02).

Framing is by length and checksum rather than by silence alone, because a pty has no silence: a
complete frame for this unit is found even behind garbage; anything older than a pause is forgotten.
Other units' frames get no answer, broadcasts (unit 0) are carried out without one.
"""

from __future__ import annotations

from collections.abc import Sequence

from baywatt_sim.wire.crc import crc16, seal
from baywatt_sim.wire.link import Reply
from baywatt_sim.wire.pdu import NoAnswerError, RegisterModel, answer

MAX_FRAME = 256
# Far above 3.5 characters: the scheduler may split what a client wrote at once.
PAUSE_S = 0.05
_FIXED_LENGTH = dict.fromkeys((1, 2, 3, 4, 5, 6, 8), 8) | {7: 4, 11: 4, 12: 4, 17: 4, 43: 7}
_WITH_BYTE_COUNT = {15: 6, 16: 6, 23: 10}


def _length(frame: bytes) -> int | None:
    """The length of the request that begins here, None when it cannot be told (yet)."""
    if len(frame) < 2:
        return None
    if frame[1] in _FIXED_LENGTH:
        return _FIXED_LENGTH[frame[1]]
    at = _WITH_BYTE_COUNT.get(frame[1])
    if at is None:
        # Functions nobody defined: taken as far as they go, to be refused with exception 1.
        return len(frame)
    return at + 1 + frame[at] + 2 if len(frame) > at else None


def _valid(data: bytes) -> bytes | None:
    """The complete request with a good checksum that begins here, if one does."""
    length = _length(data)
    if length is None or not 4 <= length <= min(len(data), MAX_FRAME):
        return None
    frame = data[:length]
    good = crc16(frame[:-2]) == int.from_bytes(frame[-2:], "little")
    return frame if good else None


class RtuSlave:
    """One unit on a line; a `Station`. `requests` counts the valid requests it was asked.

    A request that begins less than `min_gap_s` after the one before is ignored.
    """

    def __init__(
        self,
        unit: int,
        model: RegisterModel,
        *,
        turnaround_s: float = 0.0,
        min_gap_s: float = 0.0,
    ) -> None:
        self.unit = unit
        self.model = model
        self.turnaround_s = turnaround_s
        self.min_gap_s = min_gap_s
        self.requests = 0
        self._served = -1e9
        self._buffer = b""
        self._last = 0.0

    def receive(self, data: bytes, now: float) -> Sequence[Reply]:
        """Answers to all requests for this unit that are complete now."""
        if now - self._last > PAUSE_S:
            self._buffer = b""
        self._last = now
        self._buffer = (self._buffer + data)[-2 * MAX_FRAME :]
        replies = []
        while (found := self._next_request()) is not None:
            reply = self._serve(found, now)
            if reply is not None:
                replies.append(Reply(reply, self.turnaround_s))
        return replies

    def next_deadline(self) -> float | None:
        """A slave never speaks of its own accord."""
        return None

    def handle_timer(self, now: float) -> Sequence[Reply]:  # noqa: ARG002 - Station's signature
        """Nothing to say."""
        return ()

    def _next_request(self) -> bytes | None:
        """Cut the next frame with a valid checksum for this unit (or all) out of the buffer."""
        while (foreign := _valid(self._buffer)) and foreign[0] not in (self.unit, 0):
            self._buffer = self._buffer[len(foreign) :]
        for start, first in enumerate(self._buffer):
            if first in (self.unit, 0) and (frame := _valid(self._buffer[start:])):
                self._buffer = self._buffer[start + len(frame) :]
                return frame
        return None

    def _serve(self, frame: bytes, now: float) -> bytes | None:
        self.requests += 1
        if now - self._served < self.min_gap_s:
            return None
        self._served = now
        try:
            pdu = answer(self.model, frame[1:-2])
        except NoAnswerError:
            return None
        return None if frame[0] == 0 else seal(bytes([self.unit]) + pdu)
