"""The bodies of the control API, with their bounds (interfaces.md, section 4)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from baywatt_contract.site_file import GridPhase

Amps = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]


class Body(BaseModel):
    """Base: unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Plug(Body):
    """A car arrives at the cable. `cable_a` is the rating of its cable at a socket."""

    capacity_wh: Annotated[float, Field(gt=0, le=1_000_000)] = 60_000
    soc: Annotated[float, Field(ge=0, le=1)] = 0.2
    max_current_a: Amps = 32
    phases: Annotated[int, Field(ge=1, le=3)] = 3
    ready: bool = True
    iso15118: Literal["external"] | dict[str, Any] | None = None
    cable_a: Literal[13, 20, 32, 63] = 32


class Nothing(Body):
    """An action without particulars."""


class VehicleWish(Body):
    """What the car decides by itself; what is left out stays as it is."""

    ready: bool | None = None
    max_current_a: Amps | None = None


class Swipe(Body):
    """A card at the reader; its UID in hex, 4 to 10 bytes."""

    token: Annotated[str, StringConstraints(pattern=r"^([0-9A-Fa-f]{2}){4,10}$")]


class FaultBody(Body):
    """A fault at a connector."""

    fault: Literal[
        "residual-current",
        "contactor-welded",
        "over-temperature",
        "lock-failed",
        "pilot-short",
        "emergency-stop",
    ]
    active: bool = True


class BayBody(Body):
    """Whether a car stands in the bay."""

    occupied: bool


class LinkBody(Body):
    """What is wrong between a device and its bus; what is left out stays as it is.

    `garble` and `drop` are probabilities per byte and per answer; `reverse_ct` is the complete list
    of phases whose current transformer is the wrong way round.
    """

    up: bool | None = None
    garble: Annotated[float, Field(ge=0, le=1)] | None = None
    drop: Annotated[float, Field(ge=0, le=1)] | None = None
    latency_ms: Annotated[float, Field(ge=0, le=60_000)] | None = None
    echo: bool | None = None
    duplicate_id: bool | None = None
    swap_ab: bool | None = None
    swap_words: bool | None = None
    reverse_ct: list[GridPhase] | None = None
    baudrate: Annotated[int, Field(ge=300, le=4_000_000)] | None = None


class PowerBody(Body):
    """A device's supply."""

    on: bool


class SupplyBody(Body):
    """What the rest of the building draws from L1, L2, L3."""

    other_load_a: Annotated[list[Amps], Field(min_length=3, max_length=3)]


class TimeBody(Body):
    """How much faster than real the vehicles' batteries fill."""

    speed: Annotated[float, Field(gt=0, le=100_000)]
