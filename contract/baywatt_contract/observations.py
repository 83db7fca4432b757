"""What the hardware tells the house and what the house asks of it.

Ground-floor rooms of the edge (`site`, `power`, `devices`) do not import each other; these values
are the only thing that passes between them. All are immutable, all quantities are integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from baywatt_contract.clock import Instant


class Quantity(StrEnum):
    """What a reading measures; the unit is part of the name."""

    ENERGY_IMPORT_WH = "energy_import_wh"
    ENERGY_EXPORT_WH = "energy_export_wh"
    POWER_W = "power_w"
    POWER_L1_W = "power_l1_w"
    POWER_L2_W = "power_l2_w"
    POWER_L3_W = "power_l3_w"
    CURRENT_L1_MA = "current_l1_ma"
    CURRENT_L2_MA = "current_l2_ma"
    CURRENT_L3_MA = "current_l3_ma"
    VOLTAGE_L1_MV = "voltage_l1_mv"
    VOLTAGE_L2_MV = "voltage_l2_mv"
    VOLTAGE_L3_MV = "voltage_l3_mv"
    FREQUENCY_MHZ = "frequency_mhz"  # millihertz
    VOLTAGE_DC_MV = "voltage_dc_mv"
    CURRENT_DC_MA = "current_dc_ma"
    TEMPERATURE_MC = "temperature_mc"  # millidegrees Celsius
    DISTANCE_MM = "distance_mm"


class Quality(StrEnum):
    """Only a GOOD reading may reach billing or control."""

    GOOD = "good"
    STALE = "stale"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class MeterReading:
    """One poll of one meter: all values of one block read, with the moment of measurement.

    `measured_at` is the moment the request left, so a reading taken "after" an event is proven to
    be so. `requested_by` echoes the tag of an explicit ReadMeter request, "" for a routine poll.
    """

    device_id: str
    measured_at: Instant
    values: Mapping[Quantity, int]
    quality: Quality = Quality.GOOD
    requested_by: str = ""

    @property
    def energy_wh(self) -> int | None:
        """The import register in Wh, None when the meter did not deliver it."""
        return self.values.get(Quantity.ENERGY_IMPORT_WH)

    @property
    def power_w(self) -> int | None:
        """Total active power in W, None when the meter did not deliver it."""
        return self.values.get(Quantity.POWER_W)

    @property
    def current_ma(self) -> tuple[int, int, int]:
        """The three phase currents in mA as the meter numbers its phases; 0 where it has none."""
        return (
            self.values.get(Quantity.CURRENT_L1_MA, 0),
            self.values.get(Quantity.CURRENT_L2_MA, 0),
            self.values.get(Quantity.CURRENT_L3_MA, 0),
        )


class Pilot(StrEnum):
    """IEC 61851-1 control pilot states as the charge controller sees them."""

    A = "A"  # no vehicle
    B = "B"  # vehicle connected, not ready
    C = "C"  # vehicle asks for energy
    D = "D"  # asks for energy, needs ventilation
    E = "E"  # pilot shorted or no power
    F = "F"  # controller not available


class FaultCode(StrEnum):
    """Faults a charge controller or the daemon can raise; the first six latch at the board."""

    RESIDUAL_CURRENT = "residual-current"
    CONTACTOR_WELDED = "contactor-welded"
    OVER_TEMPERATURE = "over-temperature"
    PILOT_SHORT = "pilot-short"
    EMERGENCY_STOP = "emergency-stop"
    SELF_TEST_FAILED = "self-test-failed"
    LOCK_FAILED = "lock-failed"
    VENTILATION = "ventilation"
    CONTROLLER = "controller"  # the controller reports an error of its own
    SILENT = "silent"  # the device does not answer
    METER_SILENT = "meter-silent"
    METER_IMPLAUSIBLE = "meter-implausible"
    OVER_CURRENT = "over-current"


@dataclass(frozen=True, slots=True)
class ConnectorObserved:
    """What a board channel or wallbox says of its connector.

    `contactor_closed` and `locked` are the mirror contact and the lock's feedback, None when the
    device has no such feedback. `offered_ma` is what the pilot really offers now (0 = X1 or F).
    """

    connector_id: int
    observed_at: Instant
    pilot: Pilot
    contactor_closed: bool | None
    locked: bool | None
    offered_ma: int
    cable_max_ma: int | None = None
    faults: frozenset[FaultCode] = frozenset()
    host_lost: bool = False  # the board fell to its fail-safe: it missed our control frames


@dataclass(frozen=True, slots=True)
class TokenSwiped:
    """A card was held to the reader of a connector. `token` is the UID in upper-case hex."""

    connector_id: int
    token: str
    observed_at: Instant


class BayState(StrEnum):
    """One state model for every bay sensor; stale data is `unknown`, never "free"."""

    UNKNOWN = "unknown"
    VACANT = "vacant"
    OCCUPIED = "occupied"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class BayObserved:
    """A debounced change of a bay."""

    bay_id: str
    state: BayState
    observed_at: Instant


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """A device began or ceased to answer. `detail` is one clear line for people."""

    device_id: str
    up: bool
    observed_at: Instant
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ModuleObserved:
    """What a DC power module says of itself."""

    device_id: str
    observed_at: Instant
    on: bool
    voltage_mv: int
    current_ma: int
    available_power_w: int
    alarms: frozenset[str] = frozenset()


Observation = (
    MeterReading | ConnectorObserved | TokenSwiped | BayObserved | LinkChanged | ModuleObserved
)


@dataclass(frozen=True, slots=True)
class ControlTarget:
    """What a charge controller shall do now. The newest target of a connector wins.

    `grant_expires_mono_ms` is the end of the current grant on this boot's monotonic clock. The
    device's owner holds the grant: when it runs out unrenewed, the connector falls to its
    fail-safe current (and later opens) by itself.
    """

    connector_id: int
    permit: bool  # may close its contactor when the vehicle asks
    limit_ma: int  # per phase; below 6000 the pilot offers nothing
    phases: int
    grant_expires_mono_ms: int
    unlock: bool = False  # release the plug once (the contactor must be open)
    available: bool = True  # False: show the vehicle that this EVSE is out of service


@dataclass(frozen=True, slots=True)
class ReadMeter:
    """Ask for one reading out of turn; the answer carries `tag` in `requested_by`."""

    device_id: str
    tag: str


@dataclass(frozen=True, slots=True)
class DeviceHealth:
    """A device's line in `baywatt status`; latencies in milliseconds."""

    device_id: str
    bus_id: str
    profile: str
    up: bool
    requests: int = 0
    timeouts: int = 0
    crc_errors: int = 0
    latency_p50_ms: float = 0.0
    latency_p99_ms: float = 0.0
    detail: str = ""
    last: Mapping[str, int | str] = field(default_factory=dict)
