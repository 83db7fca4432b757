"""The parts of `baywatt status --json` that only the composition root can see."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from baywatt_contract.observations import DeviceHealth
from baywatt_edge.journal import Journal, Stream


def buses(health: Iterable[DeviceHealth]) -> dict[str, Any]:
    """Every bus with its devices, in the order of the site file."""
    found: dict[str, Any] = {}
    for each in health:
        found.setdefault(each.bus_id, {})[each.device_id] = {
            "profile": each.profile,
            "up": each.up,
            "requests": each.requests,
            "timeouts": each.timeouts,
            "crc_errors": each.crc_errors,
            "latency_p50_ms": each.latency_p50_ms,
            "latency_p99_ms": each.latency_p99_ms,
            "detail": each.detail,
            "last": dict(each.last),
        }
    return found


def storage(journal: Journal, folder: Path) -> dict[str, Any]:
    """How much is kept, and whether there is room for more."""
    return {
        "epoch": journal.epoch,
        "events": journal.last(Stream.EVENTS),
        "telemetry": journal.last(Stream.TELEMETRY),
        "full": journal.full,
        "free_bytes": shutil.disk_usage(folder).free,
    }
