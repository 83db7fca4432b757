"""One connection: what the core decides is published, journaled and asked of the site."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from baywatt_contract.envelope import pack
from baywatt_contract.house import Beat, Clock, House
from baywatt_contract.topics import SiteTopics, UpTopic
from baywatt_edge.journal import Journal, Stream
from baywatt_edge.sync.broker import Link
from baywatt_edge.sync.core import STREAMS, Effect, Outgoing, SyncCore
from baywatt_edge.sync.live import live_message

LIVE_INTERVAL_S = 1.0
_IDLE_S = 5.0


class Session:
    """Lives as long as one connection; raises BrokerError (in a group) when that ends."""

    def __init__(
        self,
        core: SyncCore,
        link: Link,
        journal: Journal,
        house: House,
        clock: Clock,
        *,
        perform: Callable[[Effect], None],
    ) -> None:
        """`perform` takes every effect that is not a message to publish."""
        self._core = core
        self._link = link
        self._journal = journal
        self._house = house
        self._clock = clock
        self._perform = perform
        self._stir = asyncio.Event()
        self._outgoing: asyncio.Queue[Outgoing] = asyncio.Queue()

    async def run(self, beat: Beat) -> None:
        """Talk until the connection breaks or the task is cancelled."""
        self.publish(self._core.connected(self._clock.now().mono_ms))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._post())
            group.create_task(self._listen())
            group.create_task(self._pump(beat))
            group.create_task(self._show())

    def publish(self, message: Outgoing) -> None:
        """Give a message to the connection; lost with it, as nothing here relies on a broker."""
        self._outgoing.put_nowait(message)

    async def _post(self) -> None:
        """Publish in order without waiting for the broker in between: the window is the limit."""
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._link.publish(await self._outgoing.get()))

    def apply(self, effects: Iterable[Effect]) -> None:
        """Do what the core decided."""
        for effect in effects:
            if isinstance(effect, Outgoing):
                self.publish(effect)
            else:
                self._perform(effect)
        self._stir.set()

    async def _listen(self) -> None:
        async for topic, payload in self._link.messages():
            for stream in STREAMS:
                self._core.grown(stream, self._journal.last(Stream(stream)))
            self.apply(self._core.message(topic, payload, self._clock.now()))

    async def _pump(self, beat: Beat) -> None:
        """Keep every window full, and send again what is due."""
        while True:
            beat()
            self._stir.clear()
            for stream in STREAMS:
                await self._fill(stream)
            for effect in self._core.tick(self._clock.now()):
                self.apply([effect])
            if not self._stir.is_set():
                await self._rest()

    async def _fill(self, stream: str) -> None:
        while (want := self._core.wanted(stream)) and self._journal.last(
            Stream(stream)
        ) > want.after:
            rows = await self._journal.read(Stream(stream), want.after, want.limit)
            if self._core.wanted(stream) != want:
                continue  # an acknowledgement came while we read
            events = [row.to_event(self._journal.site, self._journal.epoch) for row in rows]
            self.apply(self._core.offer(stream, events, self._clock.now().mono_ms))
            if not rows:
                break

    async def _rest(self) -> None:
        """Until a row is committed, an acknowledgement arrives or something is due."""
        deadline = self._core.next_deadline()
        seconds = _IDLE_S
        if deadline is not None:
            seconds = min(seconds, max(0, deadline - self._clock.now().mono_ms) / 1000)
        waits: list[asyncio.Task[Any]] = [asyncio.create_task(self._stir.wait(), name="stir")]
        for stream in STREAMS:
            if want := self._core.wanted(stream):
                beyond = self._journal.wait_beyond(Stream(stream), want.after)
                waits.append(asyncio.create_task(beyond, name=f"rows of {stream}"))
        try:
            done, _ = await asyncio.wait(
                waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()  # a failed journal ends the session
        finally:
            for task in waits:
                task.cancel()

    async def _show(self) -> None:
        """The live message, at most once a second and only when something changed."""
        topic = SiteTopics(self._core.me.site).up(UpTopic.LIVE)
        shown = None
        while True:
            view = self._house.view()
            message = live_message(view)
            if (seen := message.model_dump(exclude={"at"})) != shown:
                shown = seen
                self.publish(Outgoing(topic, pack(message.model_dump(mode="json")), qos=0))
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._house.changed(view.at), _IDLE_S)
            await asyncio.sleep(LIVE_INTERVAL_S)
