"""A house and a journal held in memory, for whatever stands at either end of the control socket."""

from __future__ import annotations

import asyncio

from baywatt_contract.clock import ClockQuality, Instant
from baywatt_contract.events import ConnectorStatus
from baywatt_contract.house import BayView, ConnectorView, SiteView, WhyStep
from baywatt_contract.observations import BayState, FaultCode
from baywatt_contract.wishes import Outcome, Wish
from baywatt_edge.journal import Row, Stream

AT = Instant(5_000, 4, 1_763_800_000_123, ClockQuality.SYNCED)


class MemoryHouse:
    """A house with one charging connector that keeps what it was asked."""

    def __init__(self) -> None:
        self.wishes: list[Wish] = []
        self.outcome = Outcome(True, session="s-1", connector_id=1)
        self.hang = False

    async def wish(self, wish: Wish) -> Outcome:
        self.wishes.append(wish)
        if self.hang:
            await asyncio.Event().wait()
        return self.outcome

    def view(self) -> SiteView:
        one = ConnectorView(
            1, "HARBOUR-1", 1, ConnectorStatus.CHARGING, True, session="s-1", power_w=11_000,
            current_ma=(16_000, 15_900, 16_100), limit_ma=16_000, energy_wh=1234,
            register_wh=7_001_234, reason="fuse shared by 2", faults=(FaultCode.LOCK_FAILED,),
            status_since=AT,
        )  # fmt: skip
        bay = BayView("A1", BayState.OCCUPIED, 1, AT)
        return SiteView("harbour", AT, {1: one}, {"A1": bay}, (30_000, 1, 2), True, 63)

    def why(self, connector_id: int) -> list[WhyStep]:
        return {1: [WhyStep("fuse", "63 A shared by 2", 16_000, AT)]}[connector_id]

    async def changed(self, after: Instant | None = None) -> None:
        await asyncio.Event().wait()


class MemoryJournal:
    """Rows in a list, with the waiting of the real one."""

    site, epoch = "harbour", "e1"

    def __init__(self, count: int = 0) -> None:
        self.rows: list[Row] = []
        self._grown = asyncio.Event()
        for _ in range(count):
            self.append()

    def append(self) -> None:
        seq = len(self.rows) + 1
        self.rows.append(Row(Stream.EVENTS, seq, "CommandDone", 1, AT, "", {"id": f"c{seq}"}))
        self._grown.set()
        self._grown = asyncio.Event()

    async def read(self, stream: Stream, after: int, limit: int) -> list[Row]:
        return [row for row in self.rows if row.stream is stream and row.seq > after][:limit]

    def last(self, stream: Stream) -> int:
        return len(self.rows) if stream is Stream.EVENTS else 0

    async def wait_beyond(self, stream: Stream, seq: int) -> None:
        while self.last(stream) <= seq:
            await self._grown.wait()
