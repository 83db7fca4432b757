"""The sync agent: connects for ever, and carries what the cloud asks into the house."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from baywatt_contract.clock import ClockQuality
from baywatt_contract.house import Beat, Clock, House, Task
from baywatt_contract.site_file import Cloud
from baywatt_contract.topics import StateTopic
from baywatt_edge.journal import Journal, NewEvent, Stream, Write
from baywatt_edge.sync.broker import Broker, BrokerError, BrokerRefusedError, Link, MqttBroker
from baywatt_edge.sync.commands import SEEN_PREFIX, seen_document, seen_entry
from baywatt_edge.sync.core import (
    STREAMS,
    Advance,
    Answer,
    Carry,
    Effect,
    Hold,
    Identity,
    Note,
    SyncCore,
    TellTime,
)
from baywatt_edge.sync.session import Session
from baywatt_edge.sync.states import PREFIX, BadStateError, check_state, state_wish

log = logging.getLogger(__name__)

_BACKOFF_MAX_S = 60.0
_STEADY_MS = 10_000  # a connection that lived so long begins the back-off anew
_SLICE_S = 5.0  # the longest time between two beats
_FAREWELL_S = 2.0
_REMEMBER_MS = 7 * 86_400_000
_NOTES_KEPT = 100


class SyncAgent:
    """Brings every row to the cloud exactly once and holds what the cloud wants held."""

    def __init__(
        self,
        site_id: str,
        cloud: Cloud,
        journal: Journal,
        house: House,
        clock: Clock,
        program_version: str,
        *,
        broker: Broker | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`cloud.password` is the secret itself, already resolved."""
        self._where = _where(cloud.url)
        self._username = cloud.username
        self._journal = journal
        self._house = house
        self._clock = clock
        self._jitter = jitter
        self._broker = broker or MqttBroker(cloud.url, site_id, cloud.username, cloud.password)
        self._me = Identity(site_id, journal.epoch, journal.boot, program_version)
        self._core: SyncCore | None = None
        self._session: Session | None = None
        self._state = "connecting"
        self._warned: set[type[BrokerError]] = set()
        self._noted: set[str] = set()
        self._told_time = False
        self._holding = asyncio.Lock()

    def tasks(self) -> dict[str, Task]:
        """For the supervisor. A beat comes at least every 30 s, while connecting too."""
        return {"sync": self.run}

    def status(self) -> dict[str, Any]:
        """`state` is connecting, connected, offline or refused; `unacked` counts class A rows."""
        last = {stream: self._journal.last(Stream(stream)) for stream in STREAMS}
        cursors = {stream: self._core.cursor(stream) if self._core else 0 for stream in STREAMS}
        behind = {stream: max(0, last[stream] - cursors[stream]) for stream in STREAMS}
        return {
            "state": self._state,
            "url": self._where,
            "unacked": behind[Stream.EVENTS],
            "unacked_telemetry": behind[Stream.TELEMETRY],
            "revisions": {
                str(k): v for k, v in (self._core.revisions if self._core else {}).items()
            },
        }

    async def run(self, beat: Beat) -> None:
        """Restore what is held, then talk to the cloud until cancelled."""
        beat()
        core = self._core = await self._restore()
        async with asyncio.TaskGroup() as jobs:
            await self._connect_for_ever(core, jobs, beat)

    # From the journal

    async def _restore(self) -> SyncCore:
        """Cursors, answered commands and held states, so that the site works offline."""
        cursors = {stream: await self._journal.cursor(_cursor(stream)) for stream in STREAMS}
        core = SyncCore(self._me, cursors, self._jitter, seen=await self._answered())
        for leaf in StateTopic:
            value = await self._journal.document(f"{PREFIX}{leaf}")
            if value is None:
                continue
            try:
                document = check_state(leaf, value)
            except BadStateError as error:
                log.warning("a stored state is not used, the cloud will send it again: %s", error)
                continue
            if wish := state_wish(leaf, document):
                await self._house.wish(wish)
            core.held(leaf, document.rev)
        return core

    async def _answered(self) -> set[str]:
        """The commands that must not be carried out again; forgets those of long ago."""
        stored = await self._journal.documents(SEEN_PREFIX)
        now = self._clock.now()
        if now.quality is not ClockQuality.UNSYNCED:
            old = {
                key: None
                for key, entry in stored.items()
                if entry["not_after_ms"] + _REMEMBER_MS < now.utc_ms
            }
            if old:
                self._journal.submit(Write(documents=old, lazy=True))
                stored = {key: entry for key, entry in stored.items() if key not in old}
        return {key.removeprefix(SEEN_PREFIX) for key in stored}

    # The connection

    async def _connect_for_ever(self, core: SyncCore, jobs: asyncio.TaskGroup, beat: Beat) -> None:
        attempt = 0
        while True:
            beat()
            since_ms = self._clock.now().mono_ms
            try:
                await self._converse(core, jobs, beat)
            except* BrokerError as errors:
                self._lost(_first(errors))
            if self._clock.now().mono_ms - since_ms >= _STEADY_MS:
                attempt = 0
            attempt = min(attempt + 1, 10)
            top_s = min(_BACKOFF_MAX_S, 2.0**attempt)
            await self._sleep(1.0 + self._jitter() * (top_s - 1.0), beat)

    async def _converse(self, core: SyncCore, jobs: asyncio.TaskGroup, beat: Beat) -> None:
        async with self._broker.connect(core.will(), core.subscriptions()) as link:
            self._found()
            beat()
            self._session = Session(
                core,
                link,
                self._journal,
                self._house,
                self._clock,
                perform=lambda effect: self._perform(effect, jobs),
            )
            try:
                await self._session.run(beat)
            except asyncio.CancelledError:
                await self._farewell(core, link)
                raise
            finally:
                self._session = None

    async def _farewell(self, core: SyncCore, link: Link) -> None:
        """A clean end sends no will: say it ourselves."""
        with suppress(BrokerError, TimeoutError):
            await asyncio.wait_for(link.publish(core.will()), _FAREWELL_S)

    def _found(self) -> None:
        self._state = "connected"
        log.info("connected to the cloud at %s", self._where)
        self._warned.clear()

    def _lost(self, error: BrokerError) -> None:
        """One warning per outage and kind."""
        refused = isinstance(error, BrokerRefusedError)
        self._state = "refused" if refused else "offline"
        level = logging.DEBUG if type(error) in self._warned else logging.WARNING
        self._warned.add(type(error))
        if refused:
            log.log(level, "the cloud at %s refuses the credentials of %r (%s): correct username "
                    "and password under [cloud]", self._where, self._username, error)  # fmt: skip
        else:
            log.log(level, "the cloud at %s cannot be reached (%s): everything is kept and sent "
                    "later; check url under [cloud], the network and the broker",
                    self._where, error)  # fmt: skip

    async def _sleep(self, seconds: float, beat: Beat) -> None:
        while seconds > 0:
            await asyncio.sleep(min(seconds, _SLICE_S))
            seconds -= _SLICE_S
            beat()

    # What the core decided

    def _perform(self, effect: Effect, jobs: asyncio.TaskGroup) -> None:
        if isinstance(effect, Advance):
            # Lazy: a cursor that falls back only sends rows again, and the cloud knows them.
            cursors = {_cursor(effect.stream): effect.seq}
            self._journal.submit(Write(cursors=cursors, lazy=True))
        elif isinstance(effect, Answer):
            self._answer(effect)
        elif isinstance(effect, Carry):
            jobs.create_task(self._carry(effect))
        elif isinstance(effect, Hold):
            jobs.create_task(self._hold(effect))
        elif isinstance(effect, TellTime):
            self._tell_time(effect.utc_ms)
        elif isinstance(effect, Note):
            self._note(effect.text)

    async def _carry(self, carry: Carry) -> None:
        """Outlives the connection: an answer that was begun is always written."""
        assert self._core is not None  # noqa: S101 - set before any effect
        outcome = await self._house.wish(carry.wish)
        self._answer(self._core.answered(carry.command, outcome))

    def _answer(self, answer: Answer) -> None:
        self._journal.submit(
            Write(
                [NewEvent(answer.event, self._clock.now())],
                {seen_document(answer.id): seen_entry(answer.not_after_ms)},
            )
        )

    async def _hold(self, hold: Hold) -> None:
        """Store, tell the site, confirm; one after the other, so that revisions only rise."""
        assert self._core is not None  # noqa: S101 - set before any effect
        async with self._holding:
            if hold.document.rev <= self._core.revisions.get(hold.leaf, -1):
                return
            try:
                body = hold.document.model_dump(mode="json", exclude_none=True)
                stored = self._journal.submit(Write(documents={f"{PREFIX}{hold.leaf}": body}))
            except ValueError as error:
                self._note(f"{hold.leaf} revision {hold.document.rev} cannot be stored: {error}")
                return
            await stored.done()
            if wish := state_wish(hold.leaf, hold.document):
                await self._house.wish(wish)
            births = self._core.held(hold.leaf, hold.document.rev)
            if self._session is not None:
                self._session.apply(births)

    def _tell_time(self, utc_ms: int) -> None:
        """Only where nobody else sets the clock."""
        if self._told_time or self._clock.now().quality is not ClockQuality.SYNCED:
            self._told_time = True
            self._clock.trust(utc_ms, "cloud")

    def _note(self, text: str) -> None:
        level = logging.DEBUG if text in self._noted else logging.WARNING
        if len(self._noted) < _NOTES_KEPT:
            self._noted.add(text)
        log.log(level, "%s", text)


def _cursor(stream: str) -> str:
    return f"sync:{stream}"


def _where(url: str) -> str:
    """The broker without any secret that somebody put into the URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


def _first(errors: BaseExceptionGroup[BrokerError]) -> BrokerError:
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first if isinstance(first, BrokerError) else BrokerError(str(first))
