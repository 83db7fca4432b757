"""The site file: one TOML document that describes a site completely (interfaces.md, section 2)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,47}$")]
GridPhase = Annotated[int, Field(ge=1, le=3)]


class Section(BaseModel):
    """Base of all tables: unknown keys are mistakes, not extensions."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Site(Section):
    """Who and where the site is."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,47}$")]
    name: Annotated[str, StringConstraints(min_length=1, max_length=120)]
    time_zone: str
    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


class Supply(Section):
    """The grid connection that all connectors share."""

    fuse_a: Annotated[int, Field(ge=6, le=4000)]
    phases: Literal[1, 2, 3] = 3
    meter: Id | None = None
    fail_safe_a: Annotated[int, Field(ge=0, le=63)] = 6


class Storage(Section):
    """Where the journal lives; relative to the site file."""

    path: str = "data"
    quota_mb: Annotated[int, Field(ge=16, le=100_000)] = 512


class Cloud(Section):
    """The MQTT broker of the cloud; leave the table out for a site without one."""

    url: Annotated[str, StringConstraints(pattern=r"^mqtts?://[^/]+$")]
    username: str | None = None
    password: str | None = None


class Authority(Section):
    """Two masters, one ledger: who decides what."""

    authorise: Literal["csms", "cloud", "any"] = "any"
    reserve: Literal["csms", "cloud"] = "cloud"
    bill: Literal["csms", "cloud"] = "cloud"


class Station(Section):
    """One OCPP charge point identity."""

    id: Id
    csms: Annotated[str, StringConstraints(pattern=r"^wss?://\S+$")] | None = None
    csms_password: str | None = None
    versions: list[Literal["1.6", "2.0.1", "2.1"]] = ["1.6"]
    security_profile: Annotated[int, Field(ge=0, le=3)] = 0


class BusKind(StrEnum):
    """How a bus is reached."""

    MODBUS_RTU = "modbus-rtu"
    MODBUS_ASCII = "modbus-ascii"
    MODBUS_TCP = "modbus-tcp"
    RTU_OVER_TCP = "rtu-over-tcp"
    CAN = "can"
    SERIAL = "serial"
    MQTT = "mqtt"
    GPIO = "gpio"


SERIAL_KINDS = frozenset({BusKind.MODBUS_RTU, BusKind.MODBUS_ASCII, BusKind.SERIAL})
TCP_KINDS = frozenset({BusKind.MODBUS_TCP, BusKind.RTU_OVER_TCP})


class Bus(Section):
    """One serial line, socket or CAN channel; one task of the daemon owns it."""

    id: Id
    kind: BusKind
    port: str | None = None
    baudrate: Annotated[int, Field(ge=300, le=4_000_000)] = 9600
    parity: Literal["N", "E", "O"] = "N"
    stopbits: Literal[1, 2] = 1
    gap_ms: Annotated[float, Field(ge=0, le=10_000)] | None = None
    timeout_ms: Annotated[float, Field(ge=1, le=60_000)] | None = None
    host: str | None = None
    tcp_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    interface: Literal["socketcan", "socketcand", "slcan", "virtual"] | None = None
    channel: str | None = None
    bitrate: Annotated[int, Field(ge=10_000, le=1_000_000)] | None = None
    url: str | None = None
    topic: str | None = None
    chip: str | None = None


class Device(Section):
    """A device on a bus, read and written as its profile says."""

    id: Id
    bus: Id
    profile: Id
    unit: Annotated[int, Field(ge=0, le=255)] = 1


class V2g(Section):
    """The vehicle side of ISO 15118 at a connector."""

    interface: str
    protocols: list[Literal["din", "iso-2", "iso-20"]] = ["iso-2"]


class Connector(Section):
    """One connector and what it is made of."""

    id: Annotated[int, Field(ge=1, le=999)]
    station: Id
    evse: Annotated[int, Field(ge=1, le=999)]
    plug: Literal["type2-socket", "type2-cable", "ccs2"]
    control: Id
    control_channel: Annotated[int, Field(ge=1, le=16)] = 1
    meter: Id | None = None
    max_a: Annotated[int, Field(ge=6, le=1000)]
    phases: Annotated[list[GridPhase], Field(min_length=1, max_length=3)] = [1, 2, 3]
    bay: Id | None = None
    power_modules: list[Id] = []
    insulation: Id | None = None
    v2g: V2g | None = None

    @property
    def is_dc(self) -> bool:
        """Whether power electronics stand between grid and car."""
        return bool(self.power_modules)


class Bay(Section):
    """One parking bay."""

    id: Id
    sensor: Id | None = None


class SiteFile(Section):
    """The whole document."""

    site: Site
    supply: Supply
    storage: Storage = Storage()
    cloud: Cloud | None = None
    authority: Authority = Authority()
    stations: Annotated[list[Station], Field(min_length=1)]
    buses: list[Bus] = []
    devices: list[Device] = []
    connectors: list[Connector] = []
    bays: list[Bay] = []

    def device(self, device_id: str) -> Device:
        """The device with this id; KeyError when there is none."""
        return {device.id: device for device in self.devices}[device_id]

    def connector(self, connector_id: int) -> Connector:
        """The connector with this id; KeyError when there is none."""
        return {connector.id: connector for connector in self.connectors}[connector_id]

    def connector_of_bay(self, bay_id: str) -> Connector | None:
        """The connector that a bay serves, if any."""
        return next((each for each in self.connectors if each.bay == bay_id), None)
