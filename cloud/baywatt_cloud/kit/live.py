"""What sites show right now (up/live), fanned out to whoever watches. Never stored."""

from __future__ import annotations

from dataclasses import dataclass

from baywatt_cloud.kit.db import Broadcast
from baywatt_contract.messages import Live


@dataclass(slots=True)
class _Seat:
    latest: Live | None
    received_ms: int
    news: Broadcast


class LiveHub:
    """The latest live message per site. A slow watcher skips messages, it never delays anybody."""

    def __init__(self) -> None:
        self._seats: dict[str, _Seat] = {}

    def _seat(self, site: str) -> _Seat:
        return self._seats.setdefault(site, _Seat(None, 0, Broadcast()))

    def publish(self, site: str, live: Live, now_ms: int) -> None:
        """A site said how it stands."""
        seat = self._seat(site)
        seat.latest, seat.received_ms = live, now_ms
        seat.news.notify()

    def poke(self, site: str) -> None:
        """Something about the site was stored: watchers should look again."""
        self._seat(site).news.notify()

    def latest(self, site: str) -> tuple[Live, int] | None:
        """The latest message and when it was received; None if the site was not heard yet."""
        seat = self._seats.get(site)
        return None if seat is None or seat.latest is None else (seat.latest, seat.received_ms)

    def news(self, site: str) -> Broadcast:
        """Wakes watchers of the site."""
        return self._seat(site).news
