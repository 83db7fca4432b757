"""A site that speaks to the cloud as the edge does: events in batches through the real ingest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from baywatt_cloud import admin
from baywatt_cloud.auth import repository, service
from baywatt_cloud.ingest.service import Ingest
from baywatt_cloud.kit import relay
from baywatt_cloud.kit.identity import issue_token
from baywatt_cloud.kit.services import Services
from baywatt_cloud.models import Site
from baywatt_contract import events as ev
from baywatt_contract.clock import ClockQuality, format_utc_ms
from baywatt_contract.envelope import Event, pack_events
from baywatt_contract.topics import UpTopic

SITE = "harbour"
EPOCH = "e1"


@dataclass
class SiteFeed:
    """Says what happened, second by second, from `now_ms` on."""

    services: Services
    now_ms: int
    seq: int = 0
    mono_ms: int = 1_000
    quality: ClockQuality = ClockQuality.SYNCED
    pending: list[Event] = field(default_factory=list)

    def say(self, payload: ev.Payload, after_s: float = 0) -> None:
        self.now_ms += round(after_s * 1000)
        self.mono_ms += round(after_s * 1000)
        self.seq += 1
        self.pending.append(
            Event(
                id=f"{SITE}:{EPOCH}:{self.seq}",
                type=payload.type_name(),
                time=format_utc_ms(self.now_ms),
                mono_ms=self.mono_ms,
                boot=1,
                clock=self.quality,
                trace="t1",
                data=payload.to_data(),
            )
        )

    async def deliver(self) -> None:
        """Send what was said, and again as a duplicate, then let the domain events flow."""
        payload = pack_events(self.pending)
        for _ in range(2):
            await Ingest(self.services).take(SITE, UpTopic.EVENTS, payload)
        self.pending.clear()
        while await relay.deliver_due(self.services.database):
            pass

    async def describe(self) -> None:
        async with self.services.database.write() as db:
            site = Site(id=SITE, credentials_hash="", created_ms=self.now_ms)
            await admin._introduce(db, site)
        connectors = [
            ev.SiteConnector(
                id=number, station="HARBOUR-1", evse=number, plug="type2-socket",
                max_power_w=22_080, phases=(1, 2, 3), current_kind="ac", bay=f"A{number}",
            )
            for number in (1, 2, 3)
        ]  # fmt: skip
        self.say(
            ev.SiteDescribed(
                site=SITE, name="Harbour Street", time_zone="Europe/Berlin", currency="EUR",
                latitude=53.5461, longitude=9.9661, fuse_a=63, authorise="any", reserve="cloud",
                bill="cloud", connectors=connectors, bays=["A1", "A2", "A3"],
            )
        )  # fmt: skip
        for number in (1, 2, 3):
            self.say(ev.ConnectorChanged(connector=number, status=ev.ConnectorStatus.AVAILABLE))
        await self.deliver()

    def start(self, session: str, token: str, *, begin_wh: int = 1_000, **more: Any) -> None:
        self.say(
            ev.SessionAuthorised(
                session=session, connector=1, source=ev.StartSource.CARD,
                authority=ev.Authority.CLOUD, token=token, token_hash="0", **more,
            )
        )  # fmt: skip
        self.say(
            ev.ChargingStarted(
                session=session, connector=1, energy_wh=begin_wh, meter="meter-1", token=token
            ),
            after_s=3,
        )

    def sample(self, session: str, wh: int, after_s: float, *, requests: bool = True) -> None:
        self.say(
            ev.MeterSampled(
                session=session, connector=1, energy_wh=wh, power_w=11_000,
                current_ma=(16_000, 16_000, 16_000), vehicle_requests=requests,
            ),
            after_s,
        )  # fmt: skip

    def limit(self, session: str, limit_ma: int, rule: str, after_s: float = 0) -> None:
        self.say(
            ev.LimitChanged(
                connector=1, session=session, limit_ma=limit_ma, rule=rule, reason=f"by {rule}"
            ),
            after_s,
        )

    def stop(self, session: str, wh: int, after_s: float = 0) -> None:
        self.say(
            ev.ChargingStopped(
                session=session, connector=1, energy_wh=wh, reason=ev.StopReason.LOCAL,
                duration_ms=1,
            ),
            after_s,
        )  # fmt: skip
        self.say(ev.SessionEnded(session=session, connector=1, reason="unplugged"), after_s=5)

    async def visit(self, session: str, token: str, **more: Any) -> None:
        """8,765 Wh in 48 minutes, then 12 minutes idle."""
        self.start(session, token, **more)
        self.sample(session, 4_000, 1_000)
        self.sample(session, 9_765, 1_880, requests=False)
        self.sample(session, 9_765, 360, requests=False)
        self.stop(session, 9_765, 360)
        await self.deliver()


@dataclass
class Driver:
    """A registered driver with an access token."""

    user_id: str
    app_token: str
    headers: dict[str, str]


async def register(services: Services, email: str = "kim@example.org") -> Driver:
    """A new driver, without the cost of hashing a password."""
    async with services.database.write() as db:
        user = await service.add_user(db, email, "none", services.clock(), name="Kim")
        token = (await repository.tokens_of(db, user.id))[0].uid
    headers = {"Authorization": f"Bearer {issue_token(services, user.id)}"}
    return Driver(user.id, token, headers)
