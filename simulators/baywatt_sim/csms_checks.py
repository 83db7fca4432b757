"""What a suspicious central system looks at in every request: small checks of its own."""

from __future__ import annotations

from datetime import datetime
from typing import Any

Json = dict[str, Any]

REQUIRED: dict[str, dict[str, type]] = {
    "Authorize": {"idTag": str},
    "BootNotification": {"chargePointVendor": str, "chargePointModel": str},
    "DataTransfer": {"vendorId": str},
    "DiagnosticsStatusNotification": {"status": str},
    "FirmwareStatusNotification": {"status": str},
    "Heartbeat": {},
    "MeterValues": {"connectorId": int, "meterValue": list},
    "StartTransaction": {"connectorId": int, "idTag": str, "meterStart": int, "timestamp": str},
    "StatusNotification": {"connectorId": int, "errorCode": str, "status": str},
    "StopTransaction": {"meterStop": int, "timestamp": str, "transactionId": int},
}
_MAX_ID_TAG = 20


def problems(action: str, payload: object) -> list[str]:
    """What is wrong with a request, in words; empty when nothing is."""
    if action not in REQUIRED:
        return [f"{action} is no request of a charge point"]
    if not isinstance(payload, dict):
        return ["the payload is not an object"]
    found = [
        f"{name} is missing or no {kind.__name__}"
        for name, kind in REQUIRED[action].items()
        if not isinstance(payload.get(name), kind) or isinstance(payload.get(name), bool)
    ]
    found += _nulls(payload, "")
    found += _stamps(payload)
    id_tag = payload.get("idTag")
    if isinstance(id_tag, str) and len(id_tag) > _MAX_ID_TAG:
        found.append(f"idTag is longer than {_MAX_ID_TAG}")
    return found


def _nulls(node: object, path: str) -> list[str]:
    """Absent values are left out, never null or empty lists."""
    if node is None or node == []:
        return [f"{path} is {node!r}: leave it out"]
    if isinstance(node, dict):
        return [text for key, child in node.items() for text in _nulls(child, f"{path}.{key}")]
    if isinstance(node, list):
        return [text for i, child in enumerate(node) for text in _nulls(child, f"{path}[{i}]")]
    return []


def _stamps(payload: Json) -> list[str]:
    stamp = payload.get("timestamp")
    if stamp is None:
        return []
    try:
        moment = datetime.fromisoformat(str(stamp))
    except ValueError:
        return [f"timestamp {stamp!r} is none"]
    return [] if moment.tzinfo is not None else [f"timestamp {stamp!r} has no zone"]
