"""The journal against a model: any order of writes, restarts and deliveries."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from baywatt_contract.clock import Instant
from baywatt_contract.events import BayChanged, Payload, PowerSampled
from baywatt_contract.observations import BayState
from baywatt_edge.journal import FORGET, Commit, Journal, NewEvent, Stream, Write

T = TypeVar("T")
KEYS = st.sampled_from(["a", "state:x", "state:y"])
NAMES = st.sampled_from(["ocpp:H-1", "sync:events", "sync:telemetry"])
VALUES = st.none() | st.integers() | st.dictionaries(st.text(max_size=3), st.booleans(), max_size=3)
EVENTS = st.lists(st.sampled_from("AB"), max_size=4)


def payload(kind: str, number: int) -> Payload:
    if kind == "A":
        return BayChanged(bay=str(number), state=BayState.VACANT)
    return PowerSampled(connector=1, power_w=number)


class JournalMachine(RuleBasedStateMachine):
    """Every write is in the model at once; after `settle` the journal must show the same."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="journal-"))
        self.rows: dict[Stream, list[dict[str, Any]]] = {stream: [] for stream in Stream}
        self.documents: dict[str, Any] = {}
        self.cursors: dict[str, int] = {}
        self.commits: list[Commit] = []
        self.number = 0
        self.boot = 0
        self.epoch = ""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(work, 30))

    @initialize()
    def open(self) -> None:
        self.journal = self.run(
            Journal.open(
                self.folder,
                "site",
                quota_bytes=16 << 20,
                mono_now=lambda: 0,
                hold_telemetry_s=0.01,
            )
        )
        self.boot += 1
        assert self.journal.boot == self.boot
        assert self.epoch in {"", self.journal.epoch}
        self.epoch = self.journal.epoch

    @rule(
        kinds=EVENTS,
        documents=st.dictionaries(KEYS, VALUES, max_size=2),
        cursors=st.dictionaries(NAMES, st.integers(FORGET, 50), max_size=2),
        lazy=st.booleans(),
    )
    def write(
        self, kinds: list[str], documents: dict[str, Any], cursors: dict[str, int], lazy: bool
    ) -> None:
        events = []
        for kind in kinds:
            self.number += 1
            new = payload(kind, self.number)
            self.rows[Stream.of(new)].append(new.to_data())
            events.append(NewEvent(new, Instant(self.number, self.boot, 1_790_000_000_000)))

        async def submit() -> Commit:
            return self.journal.submit(Write(events, documents, cursors, lazy))

        self.commits.append(self.run(submit()))
        self.documents.update(documents)
        self.cursors.update(cursors)

    @rule()
    def wait(self) -> None:
        for commit in self.commits:
            self.run(commit.done())
        self.commits.clear()

    @rule()
    def restart(self) -> None:
        self.run(self.journal.close())
        self.wait()
        self.open()

    @precondition(lambda self: not self.commits)
    @rule(stream=st.sampled_from(Stream), after=st.integers(0, 20), limit=st.integers(0, 20))
    def read(self, stream: Stream, after: int, limit: int) -> None:
        rows = self.run(self.journal.read(stream, after, limit))
        expected = self.rows[stream][after : after + limit]
        assert [row.data for row in rows] == expected
        assert [row.seq for row in rows] == list(range(after + 1, after + 1 + len(expected)))

    @precondition(lambda self: not self.commits)
    @invariant()
    def everything_committed_is_shown(self) -> None:
        if not self.boot:
            return
        for stream in Stream:
            assert self.journal.last(stream) == len(self.rows[stream])
        known = {key: value for key, value in self.documents.items() if value is not None}
        assert self.run(self.journal.documents("")) == known
        wanted = {key: value for key, value in known.items() if key.startswith("state:")}
        assert self.run(self.journal.documents("state:")) == wanted
        for name, seq in self.cursors.items():
            assert self.run(self.journal.cursor(name)) == max(0, seq)

    def teardown(self) -> None:
        if self.boot:
            self.run(self.journal.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.folder)


TestJournalModel = JournalMachine.TestCase
TestJournalModel.settings = settings(
    max_examples=20,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
