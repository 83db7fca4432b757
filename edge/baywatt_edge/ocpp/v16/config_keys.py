"""The standard configuration keys of this charge point (1.6 section 9.1, errata 3.80 to 3.84).

Optional keys that are missing here name functions that are missing here (section 9).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from baywatt_contract.site_file import Connector
from baywatt_edge.ocpp.v16 import measurands

MAX_KEYS_PER_REQUEST = 50
DAY_S = 86_400


class Kind(Enum):
    """How a value is written."""

    BOOLEAN = auto()
    INTEGER = auto()
    MEASURANDS = auto()
    TEXT = auto()


@dataclass(frozen=True, slots=True)
class Key:
    """One configuration key; `most` bounds an integer."""

    name: str
    kind: Kind
    default: str
    readonly: bool = False
    least: int = 0
    most: int = 10**9

    def accepts(self, value: str) -> str | None:
        """The value in its canonical form, None when it does not fit."""
        match self.kind:
            case Kind.BOOLEAN:
                return value.lower() if value.lower() in {"true", "false"} else None
            case Kind.INTEGER:
                return self._integer(value)
            case Kind.MEASURANDS:
                return _measurands(value)
            case Kind.TEXT:
                return value

    def _integer(self, value: str) -> str | None:
        digits = value.strip()
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 10:
            return None
        return str(int(digits)) if self.least <= int(digits) <= self.most else None


def _measurands(value: str) -> str | None:
    """Section 3.16.4: one unsupported measurand, or too many, refuses the whole list."""
    items = measurands.split_list(value)
    known = {name.lower(): name for name in measurands.SUPPORTED}
    names = [known.get(item.lower()) for item in items]
    if None in names or len(items) > measurands.MAX_ITEMS:
        return None
    return ",".join(name for name in names if name is not None)


_ENERGY = measurands.ENERGY
_SAMPLED = f"{measurands.ENERGY},{measurands.POWER},{measurands.CURRENT},{measurands.OFFERED}"
_LIST_KEYS = (
    "MeterValuesAlignedData",
    "MeterValuesSampledData",
    "StopTxnAlignedData",
    "StopTxnSampledData",
)


def _writable() -> Iterator[Key]:
    yield Key("ClockAlignedDataInterval", Kind.INTEGER, "0", most=DAY_S)
    yield Key("HeartbeatInterval", Kind.INTEGER, "300", most=DAY_S)
    yield Key("LocalAuthorizeOffline", Kind.BOOLEAN, "false")
    yield Key("LocalPreAuthorize", Kind.BOOLEAN, "false")
    yield Key("MessageTimeout", Kind.INTEGER, "30", least=1, most=3600)
    yield Key("MeterValuesAlignedData", Kind.MEASURANDS, _ENERGY)
    yield Key("MeterValuesSampledData", Kind.MEASURANDS, _SAMPLED)
    yield Key("MeterValueSampleInterval", Kind.INTEGER, "60", most=DAY_S)
    yield Key("MinimumStatusDuration", Kind.INTEGER, "0", most=3600)
    yield Key("ResetRetries", Kind.INTEGER, "0", most=10)
    yield Key("StopTransactionOnInvalidId", Kind.BOOLEAN, "true")
    yield Key("StopTxnAlignedData", Kind.MEASURANDS, "")
    yield Key("StopTxnSampledData", Kind.MEASURANDS, "")
    yield Key("TransactionMessageAttempts", Kind.INTEGER, "3", most=1000)
    yield Key("TransactionMessageRetryInterval", Kind.INTEGER, "60", most=DAY_S)
    yield Key("WebSocketPingInterval", Kind.INTEGER, "30", most=DAY_S)


def _fixed(name: str, value: str, kind: Kind = Kind.TEXT) -> Key:
    return Key(name, kind, value, readonly=True)


def _read_only(connectors: Sequence[Connector]) -> Iterator[Key]:
    yield _fixed("AuthorizeRemoteTxRequests", "false", Kind.BOOLEAN)
    # The site core waits this long for the plug; a site's rule, not a station's.
    yield _fixed("ConnectionTimeOut", "60", Kind.INTEGER)
    yield _fixed("ConnectorPhaseRotation", ",".join(map(_rotation, connectors)))
    yield _fixed("ConnectorPhaseRotationMaxLength", str(len(connectors)), Kind.INTEGER)
    yield _fixed("GetConfigurationMaxKeys", str(MAX_KEYS_PER_REQUEST), Kind.INTEGER)
    for name in _LIST_KEYS:
        yield _fixed(f"{name}MaxLength", str(measurands.MAX_ITEMS), Kind.INTEGER)
    yield _fixed("NumberOfConnectors", str(len(connectors)), Kind.INTEGER)
    yield _fixed("StopTransactionOnEVSideDisconnect", "true", Kind.BOOLEAN)
    yield _fixed("SupportedFeatureProfiles", "Core,RemoteTrigger")
    yield _fixed("SupportedFeatureProfilesMaxLength", "6", Kind.INTEGER)
    sockets = any(each.plug == "type2-socket" for each in connectors)
    yield _fixed("UnlockConnectorOnEVSideDisconnect", str(sockets).lower(), Kind.BOOLEAN)


def _rotation(connector: Connector) -> str:
    """Section 9.1.7: R, S, T stand for the grid's L1, L2, L3."""
    if connector.is_dc or len(connector.phases) != 3:
        return f"{connector.evse}.NotApplicable"
    return f"{connector.evse}." + "".join("RST"[phase - 1] for phase in connector.phases)


def keys_for(connectors: Sequence[Connector]) -> list[Key]:
    """All keys of a station with these connectors, by name."""
    return sorted([*_writable(), *_read_only(connectors)], key=lambda key: key.name)
