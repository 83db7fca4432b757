"""A site under random people, faults and power cuts: every ledger equals the physics."""

from __future__ import annotations

from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from site_bench import SiteBench

from baywatt_contract import events as ev
from baywatt_contract.events import Authority, StartSource
from baywatt_contract.observations import FaultCode
from baywatt_contract.site_load import load_site_file
from baywatt_contract.wishes import LimitWish, StartWish, StopWish

HARBOUR = load_site_file(Path(__file__).parents[2] / "examples" / "harbour" / "site.toml")
connectors = st.sampled_from([1, 2, 3])
tokens = st.sampled_from(["04A1B2C3", "04FFEE11"])


class SiteMachine(RuleBasedStateMachine):
    """Three connectors, two cards, a CSMS, a cloud, and an unreliable world."""

    def __init__(self):
        super().__init__()
        self.bench = SiteBench(HARBOUR)
        self.wishes = 0

    @rule(connector=connectors)
    def plug(self, connector):
        if not self.bench.plugs[connector].plugged:
            self.bench.plug(connector)

    @rule(connector=connectors)
    def unplug(self, connector):
        if self.bench.plugs[connector].plugged:
            self.bench.unplug(connector)

    @rule(connector=connectors, token=tokens)
    def swipe(self, connector, token):
        self.bench.swipe(connector, token)

    @rule(connector=connectors, ready=st.booleans())
    def vehicle(self, connector, ready):
        self.bench.plugs[connector].ready = ready

    @rule(connector=connectors, twice=st.booleans())
    def start_by_cloud(self, connector, twice):
        self.wishes += 1
        wish = StartWish(f"w{self.wishes}", connector, "BW01", StartSource.CLOUD, Authority.CLOUD)
        outcome = self.bench.feed(wish)
        if twice:
            assert self.bench.feed(wish).session == outcome.session

    @rule(connector=connectors)
    def stop_by_csms(self, connector):
        self.wishes += 1
        self.bench.feed(StopWish(f"w{self.wishes}", StartSource.CSMS, connector_id=connector))

    @rule(connector=connectors, limit=st.sampled_from([None, 0, 5_000, 6_000, 13_000]))
    def limit(self, connector, limit):
        self.wishes += 1
        self.bench.feed(LimitWish(f"w{self.wishes}", connector, "csms", limit))

    @rule(connector=connectors, up=st.booleans())
    def meter(self, connector, up):
        self.bench.meter_link(connector, up=up)

    @rule(connector=connectors, active=st.booleans())
    def emergency(self, connector, active):
        faults = frozenset({FaultCode.EMERGENCY_STOP}) if active else frozenset()
        self.bench.plugs[connector].faults = faults

    @rule(seconds=st.sampled_from([0.25, 1, 5, 40]))
    def wait(self, seconds):
        self.bench.advance(seconds)

    @rule()
    def power_cut(self):
        self.bench.kill()

    @invariant()
    def energy_flows_only_in_an_open_transaction(self):
        for connector, plug in self.bench.plugs.items():
            session = self.bench.state.connector(connector).session
            assert not plug.closed or (session is not None and session.begin_wh is not None)

    @invariant()
    def the_fuse_holds(self):
        for phase in (1, 2, 3):
            drawn = sum(
                self.bench.plugs[each.id].current_ma
                for each in HARBOUR.connectors
                if each.id in self.bench.plugs and phase in each.phases
            )
            assert drawn <= HARBOUR.supply.fuse_a * 1000

    @invariant()
    def each_session_begins_and_ends_at_most_once_and_in_order(self):
        seen: dict[str, list[str]] = {}
        kinds = (
            ev.SessionAuthorised,
            ev.ChargingStarted,
            ev.SessionStopping,
            ev.ChargingStopped,
            ev.SessionEnded,
        )
        for event in self.bench.events(*kinds):
            seen.setdefault(event.session, []).append(event.type_name())
        order = [kind.__name__ for kind in kinds]
        for names in seen.values():
            assert len(set(names)) == len(names)
            assert names == sorted(names, key=order.index)

    @invariant()
    def registers_never_run_backwards(self):
        last: dict[str, int] = {}
        for event in self.bench.events(ev.ChargingStarted, ev.MeterSampled, ev.ChargingStopped):
            assert event.energy_wh >= last.get(event.session, 0)
            last[event.session] = event.energy_wh

    def teardown(self):
        """Let everybody leave: what was billed and what is missing add up to what flowed."""
        for connector, plug in self.bench.plugs.items():
            plug.faults = frozenset()
            self.bench.meter_link(connector, up=True)
            if plug.plugged:
                self.bench.unplug(connector)
        self.bench.advance(130)
        assert not self.bench.state.sessions()
        billed: dict[int, int] = dict.fromkeys(self.bench.plugs, 0)
        estimated: set[int] = set()
        count: dict[int, int] = dict.fromkeys(self.bench.plugs, 0)
        for event in self.bench.events(ev.ChargingStarted, ev.ChargingStopped):
            stopped = isinstance(event, ev.ChargingStopped)
            billed[event.connector] += event.energy_wh if stopped else -event.energy_wh
            count[event.connector] += stopped
            if stopped and event.estimated:
                estimated.add(event.connector)
        for connector, plug in self.bench.plugs.items():
            tolerance = 1 * max(1, count[connector])
            assert billed[connector] <= plug.energy_wh + tolerance
            if connector not in estimated:
                assert billed[connector] >= plug.energy_wh - tolerance


TestSiteMachine = SiteMachine.TestCase
TestSiteMachine.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
