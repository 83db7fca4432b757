"""The MQTT topic tree (`baywatt/v1/{partition}/{site}/…`)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import StrEnum

ROOT = "baywatt/v1"
PARTITIONS = 16


class UpTopic(StrEnum):
    """What a site publishes."""

    EVENTS = "events"
    TELEMETRY = "telemetry"
    LIVE = "live"
    PRESENCE = "presence"


class StateTopic(StrEnum):
    """Versioned desired state that the cloud retains for a site."""

    TARIFFS = "tariffs"
    TOKENS = "tokens"
    RESERVATIONS = "reservations"
    SETTINGS = "settings"


def partition(site: str) -> str:
    """crc32(site) modulo 16 as two decimal digits, so ingest workers can lease partitions."""
    return f"{zlib.crc32(site.encode()) % PARTITIONS:02d}"


@dataclass(frozen=True, slots=True)
class SiteTopics:
    """All topics of one site."""

    site: str

    @property
    def base(self) -> str:
        """The site's own subtree; a broker ACL binds its credentials to it."""
        return f"{ROOT}/{partition(self.site)}/{self.site}"

    def up(self, leaf: UpTopic) -> str:
        """A topic that the site publishes to."""
        return f"{self.base}/up/{leaf}"

    @property
    def ack(self) -> str:
        """Where the cloud acknowledges what it has committed."""
        return f"{self.base}/down/ack"

    @property
    def commands(self) -> str:
        """Where the cloud sends commands."""
        return f"{self.base}/down/commands"

    def state(self, leaf: StateTopic) -> str:
        """Where the cloud retains one desired state."""
        return f"{self.base}/down/state/{leaf}"


def parse_up(topic: str) -> tuple[str, UpTopic] | None:
    """(site, leaf) of a site's upward topic; None for any other, or a wrong partition."""
    parts = topic.split("/")
    if len(parts) != 6 or f"{parts[0]}/{parts[1]}" != ROOT or parts[4] != "up":
        return None
    site = parts[3]
    if parts[2] != partition(site) or parts[5] not in set(UpTopic):
        return None
    return site, UpTopic(parts[5])


def domain(context: str, event: str) -> str:
    """Where the cloud announces one of its own domain events."""
    return f"{ROOT}/domain/{context}/{event}"
