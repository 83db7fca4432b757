"""A serial line with one host and any number of stations, sans-I/O.

On a half-duplex line (RS-485) two parties that talk at the same time corrupt each other, as on
copper. With a `Pace` every byte takes its time on the wire. All bookkeeping uses the ideal moments,
so a late wake-up of the shell does not add up.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

from baywatt_sim.wire.crc import crc16, seal
from baywatt_sim.wire.link import Link, Reply, Station

# Answers come in pieces, as from the FIFO of a UART.
PIECE_BYTES = 32
# A ghost with the same id starts at the same moment or a little later.
GHOST_DELAYS_S = (0.0, 0.0, 0.003)


@dataclass(frozen=True, slots=True)
class Pace:
    """The speed of the wire; 11 bits per character is 8E1 or 8N2, 10 is 8N1."""

    baudrate: int
    bits_per_char: int = 11

    def wire_s(self, count: int) -> float:
        """How long `count` characters take."""
        return count * self.bits_per_char / self.baudrate

    @property
    def silence_s(self) -> float:
        """3.5 characters; 1.75 ms above 19,200 baud (Modbus over serial line V1.02, 2.5.1.1)."""
        return 0.00175 if self.baudrate > 19_200 else self.wire_s(1) * 3.5


@dataclass(slots=True)
class Tap:
    """One station on the line and the quality of its connection."""

    station: Station
    link: Link


@dataclass(slots=True)
class _Talk:
    """One transmission towards the host, `start` to `end`."""

    start: float
    end: float
    data: bytearray
    sent: int = 0
    echo: bool = False  # the host's own bytes, already collided with what they met


@dataclass(order=True, slots=True)
class _Heard:
    """Bytes of the host that have reached the stations at `at`."""

    at: float
    order: int
    data: bytes = field(compare=False)
    baudrate: int | None = field(compare=False)


class LineCore:
    """The medium. Call `host_wrote` and `advance` with growing `now` (monotonic seconds)."""

    def __init__(self, *, pace: Pace | None = None, duplex: bool = False) -> None:
        self.pace = pace
        self.echo = False
        self.taps: list[Tap] = []
        self._duplex = duplex
        self._heard: list[_Heard] = []
        self._talks: list[_Talk] = []
        self._host_busy_until = 0.0
        self._order = itertools.count()

    def attach(self, station: Station, link: Link) -> Tap:
        """Put a station on the line."""
        tap = Tap(station, link)
        self.taps.append(tap)
        return tap

    def host_wrote(self, data: bytes, now: float, baudrate: int | None = None) -> None:
        """The host put bytes on the line at `now`, at `baudrate` if that is known."""
        start = max(now, self._host_busy_until)
        end = start + self._wire_s(len(data))
        self._host_busy_until = end
        on_wire = bytearray(data)
        if not self._duplex and self.pace is not None:
            self._collide(_Talk(start, end, on_wire))
        heapq.heappush(self._heard, _Heard(end, next(self._order), bytes(on_wire), baudrate))
        if self.echo:
            self._talks.append(_Talk(start, end, bytearray(on_wire), echo=True))

    def next_deadline(self) -> float | None:
        """When `advance` has something to do, None for never."""
        moments = [talk.start + self._wire_s(self._next_piece(talk)) for talk in self._talks]
        moments += [self._heard[0].at] if self._heard else []
        timers = (tap.station.next_deadline() for tap in self.taps)
        moments += [each for each in timers if each is not None]
        return min(moments, default=None)

    def advance(self, now: float) -> bytes:
        """Let the line live until `now`; returns what the host receives."""
        while self._heard and self._heard[0].at <= now:
            heard = heapq.heappop(self._heard)
            self._tell_stations(heard)
        for tap in self.taps:
            deadline = tap.station.next_deadline()
            if deadline is not None and deadline <= now:
                self._transmit(tap, tap.station.handle_timer(now), now)
        return self._due_for_host(now)

    def _tell_stations(self, heard: _Heard) -> None:
        for tap in self.taps:
            if tap.link.hears(heard.baudrate):
                replies = tap.station.receive(tap.link.spoil(heard.data), heard.at)
                self._transmit(tap, replies, heard.at)

    def _transmit(self, tap: Tap, replies: Iterable[Reply], at: float) -> None:
        for reply in replies:
            if not tap.link.connected or tap.link.loses():
                continue
            self._talk(tap.link.spoil(reply.data), at + reply.delay_s + tap.link.latency_s)
            if tap.link.duplicate_id:
                ghost = _ghost(reply.data)
                delay = reply.delay_s + tap.link.rng.choice(GHOST_DELAYS_S)
                self._talk(ghost, at + delay + tap.link.latency_s)

    def _talk(self, data: bytes, at: float) -> None:
        start = at + (self.pace.silence_s if self.pace and not self._duplex else 0.0)
        if self._duplex and self._talks:
            start = max(start, self._talks[-1].end)
        talk = _Talk(start, start + self._wire_s(len(data)), bytearray(data))
        if not self._duplex:
            self._collide(talk)
        self._talks.append(talk)

    def _collide(self, new: _Talk) -> None:
        """Corrupt what overlaps: the dominant level of both drivers, as bytes ANDed."""
        for old in self._talks:
            if not old.echo and new.start <= old.end and old.start <= new.end:
                shared = min(len(new.data), len(old.data))
                for i in range(shared):
                    new.data[i] = old.data[i] = new.data[i] & old.data[i]

    def _due_for_host(self, now: float) -> bytes:
        out = bytearray()
        for talk in sorted(self._talks, key=lambda each: each.start):
            due = self._chars_due(talk, now)
            out += talk.data[talk.sent : due]
            talk.sent = max(talk.sent, due)
        self._talks = [talk for talk in self._talks if talk.sent < len(talk.data)]
        return bytes(out)

    def _chars_due(self, talk: _Talk, now: float) -> int:
        """How many characters have passed: whole pieces, or all once the end has come."""
        if now >= talk.end:
            return len(talk.data)
        if self.pace is None or now < talk.start:
            return 0
        passed = int((now - talk.start) / self.pace.wire_s(1) + 1e-6)
        return min(passed, len(talk.data)) // PIECE_BYTES * PIECE_BYTES

    def _next_piece(self, talk: _Talk) -> int:
        return min(talk.sent // PIECE_BYTES * PIECE_BYTES + PIECE_BYTES, len(talk.data))

    def _wire_s(self, count: int) -> float:
        return 0.0 if self.pace is None else self.pace.wire_s(count)


def _ghost(data: bytes) -> bytes:
    """What a second device with the same id would answer: a good frame with other values."""
    changed = data[:3] + bytes((each + 1) & 0xFF for each in data[3:-2])
    valid = crc16(data[:-2]) == int.from_bytes(data[-2:], "little")
    return seal(changed) if valid else changed + data[-2:]
