"""Settings from the environment, read once at start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit


class BadSettingError(ValueError):
    """An environment variable does not fit; the text names it and the fix."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What differs from one installation to the next (`interfaces`, section 5)."""

    database_url: str = "sqlite+aiosqlite:///baywatt-cloud.db"
    mqtt_url: str | None = None
    smtp_url: str | None = None
    public_url: str = "http://127.0.0.1:8000"
    payment: str = "fake"
    stripe_api_base: str | None = None
    secret: str | None = None  # signs access tokens; minted and kept in the database when absent
    token_ttl_s: int = 12 * 3600
    workers: bool = True  # run ingest, relay and downlink inside the API process

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """Read `BAYWATT_*`; raises BadSettingError."""
        env = os.environ if env is None else env
        default = cls()
        payment = env.get("BAYWATT_PAYMENT", default.payment)
        if payment not in {"fake", "stripe"}:
            raise BadSettingError(f"BAYWATT_PAYMENT is {payment!r}: write fake or stripe")
        return cls(
            database_url=database_url(env.get("BAYWATT_DATABASE_URL") or default.database_url),
            mqtt_url=_mqtt_url(env.get("BAYWATT_MQTT_URL")),
            smtp_url=env.get("BAYWATT_SMTP_URL") or None,
            public_url=(env.get("BAYWATT_PUBLIC_URL") or default.public_url).rstrip("/"),
            payment=payment,
            stripe_api_base=env.get("BAYWATT_STRIPE_API_BASE") or None,
            secret=env.get("BAYWATT_SECRET") or None,
            workers=env.get("BAYWATT_WORKERS", "1") != "0",
        )

    @property
    def is_sqlite(self) -> bool:
        """Whether one file is the database (then `serve` migrates by itself)."""
        return self.database_url.startswith("sqlite")


def database_url(url: str) -> str:
    """The URL with its async driver; raises BadSettingError for other databases."""
    scheme, separator, rest = url.partition("://")
    drivers = {
        "sqlite": "sqlite+aiosqlite",
        "sqlite+aiosqlite": "sqlite+aiosqlite",
        "postgres": "postgresql+asyncpg",
        "postgresql": "postgresql+asyncpg",
        "postgresql+asyncpg": "postgresql+asyncpg",
    }
    if not separator or scheme not in drivers:
        raise BadSettingError(
            f"BAYWATT_DATABASE_URL begins with {scheme!r}: write sqlite:///FILE or postgresql://…"
        )
    return f"{drivers[scheme]}://{rest}"


def _mqtt_url(url: str | None) -> str | None:
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname:
        raise BadSettingError("BAYWATT_MQTT_URL: write mqtt://HOST:PORT or mqtts://HOST:PORT")
    return url
