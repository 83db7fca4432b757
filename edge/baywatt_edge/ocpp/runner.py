"""The shell around a station's core: sockets, tasks and clocks, and no decision of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from random import Random
from typing import assert_never

from baywatt_contract.clock import Instant
from baywatt_contract.events import Authority
from baywatt_contract.house import Beat, Clock, House
from baywatt_contract.wishes import AuthorisationAnswer
from baywatt_edge.journal import Commit, Stream, Write
from baywatt_edge.ocpp.backoff import BackOff, BackOffRule
from baywatt_edge.ocpp.effects import Ask, Effect, Notice, Probe, Save, Transmit, Trust
from baywatt_edge.ocpp.errors import ConnectionLostError, ConnectRefusedError
from baywatt_edge.ocpp.ports import Journal
from baywatt_edge.ocpp.transport import Endpoint, Line, dial
from baywatt_edge.ocpp.v16.station import StationCore

_LOG = logging.getLogger(__name__)
_BEAT_S = 2.0
_SHORTEST_WAIT_S = 0.005
_PAGE_ROWS = 200
_FLUSH_S = 5.0
PONG_S = 10.0


class Runner:
    """Runs one core from start to cancellation."""

    def __init__(
        self,
        core: StationCore,
        endpoint: Endpoint,
        *,
        journal: Journal,
        house: House,
        clock: Clock,
        rng: Random,
        back_off: BackOffRule,
        pong_s: float = PONG_S,
    ) -> None:
        self.core = core
        self._endpoint = endpoint
        self._journal = journal
        self._house = house
        self._clock = clock
        self._back_off = BackOff(back_off, rng)
        self._back_off_rule = back_off
        self._pong_s = pong_s
        self._line: Line | None = None
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._group = asyncio.TaskGroup()
        self._ping_interval_s = 0
        self._last_refusal = ""

    @property
    def online(self) -> bool:
        """Whether a connection stands."""
        return self._line is not None

    async def run(self, beat: Beat) -> None:
        """Until cancelled; raises what the journal or the house could not bear."""
        async with self._group:
            self._do(self.core.start(self._now()))
            self._group.create_task(self._keep_connected())
            self._group.create_task(self._follow_journal())
            self._group.create_task(self._watch_house())
            self._group.create_task(self._turn_timers(beat))

    async def authorise(self, token: str, timeout_s: float) -> AuthorisationAnswer:
        """Ask the CSMS; `accepted` is None when it does not answer in time."""
        answer: asyncio.Future[tuple[bool | None, str]] = asyncio.get_running_loop().create_future()

        def then(accepted: bool | None, reason: str) -> None:
            if not answer.done():
                answer.set_result((accepted, reason))

        outgoing = self.core.authorise(token, then)
        if outgoing is None:
            return AuthorisationAnswer("", Authority.CSMS, None, "the CSMS is not connected")
        self._do(self.core.drain(self._now()))
        try:
            async with asyncio.timeout(timeout_s):
                accepted, reason = await answer
        except TimeoutError:
            accepted, reason = None, f"the CSMS did not answer in {timeout_s:g} s"
        finally:
            self.core.withdraw(outgoing)
        return AuthorisationAnswer("", Authority.CSMS, accepted, reason)

    def _now(self) -> Instant:
        return self._clock.now()

    # Effects.

    def _do(self, effects: list[Effect]) -> None:
        for effect in effects:
            self._carry_out(effect)
        interval_s = self.core.config.integer("WebSocketPingInterval")
        if interval_s != self._ping_interval_s:
            self._ping_interval_s = interval_s
            if self._line is not None:
                self._line.ping_now()
        if self.core.delivery.wants_rows:
            self._room.set()
        self._wake.set()

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Transmit(data):
                if self._line is not None:
                    self._line.send(data)
            case Ask():
                self._group.create_task(self._ask(effect, self._line))
            case Save():
                write = Write(documents=effect.documents, cursors=effect.cursors)
                commit = self._journal.submit(write)
                self._group.create_task(self._saved(effect, commit))
            case Trust(utc_ms):
                self._clock.trust(utc_ms, "csms")
            case Probe():
                if self._line is not None:
                    self._line.ping_now()
            case Notice(text, level):
                _LOG.log(level, "station %s: %s", self._endpoint.station, text)
            case _:
                assert_never(effect)

    async def _ask(self, effect: Ask, line: Line | None) -> None:
        if effect.after_flush and line is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH_S):
                    await line.flushed()
        outcome = await self._house.wish(effect.wish)
        effect.then(outcome, self._now())
        self._do(self.core.drain(self._now()))

    async def _saved(self, effect: Save, commit: Commit) -> None:
        await commit.done()
        effect.then(self._now())
        self._do(self.core.drain(self._now()))

    # Tasks.

    async def _keep_connected(self) -> None:
        while True:
            try:
                line = await dial(self._endpoint)
            except ConnectRefusedError as error:
                self._note_refusal(str(error))
            else:
                _LOG.info("station %s: connected to the CSMS", self._endpoint.station)
                self._last_refusal = ""
                connected_ms = self._now().mono_ms
                await self._serve(line)
                lasted_s = (self._now().mono_ms - connected_ms) / 1000
                self._back_off.connection_ended(lasted_s)
            await asyncio.sleep(self._back_off.next_wait_s())

    def _note_refusal(self, text: str) -> None:
        """The same refusal is a warning once, then only for debugging."""
        level = logging.DEBUG if text == self._last_refusal else logging.WARNING
        self._last_refusal = text
        _LOG.log(level, "%s (trying on)", text)

    async def _serve(self, line: Line) -> None:
        """One connection, from open to closed."""
        self._line = line
        helpers = [
            asyncio.create_task(line.write()),
            asyncio.create_task(
                line.keep_alive(lambda: self._ping_interval_s, self._pong_s, self._alive)
            ),
        ]
        try:
            self._do(self.core.connected(self._now()))
            while True:
                data = await line.receive()
                self._do(self.core.received(data, self._now()))
        except ConnectionLostError as error:
            _LOG.info("station %s: connection lost (%s)", self._endpoint.station, error)
        finally:
            for helper in helpers:
                helper.cancel()
            self._line = None
            self._do(self.core.disconnected(self._now()))
            await line.close()

    def _alive(self) -> None:
        self._do(self.core.alive(self._now()))

    async def _follow_journal(self) -> None:
        delivery = self.core.delivery
        while True:
            while not delivery.wants_rows:
                self._room.clear()
                await self._room.wait()
            await self._journal.wait_beyond(Stream.EVENTS, delivery.read_to)
            rows = await self._journal.read(Stream.EVENTS, delivery.read_to, _PAGE_ROWS)
            self._do(self.core.rows(rows, self._now()))

    async def _watch_house(self) -> None:
        while True:
            self._do(self.core.looked(self._house.view(), self._now()))
            await self._house.changed()

    async def _turn_timers(self, beat: Beat) -> None:
        while True:
            beat()
            self._wake.clear()
            deadline_ms = self.core.next_deadline_ms()
            wait_s = _BEAT_S
            if deadline_ms is not None:
                wait_s = min(_BEAT_S, (deadline_ms - self._now().mono_ms) / 1000)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(wait_s, _SHORTEST_WAIT_S)):
                    await self._wake.wait()
            self._do(self.core.tick(self._now()))
