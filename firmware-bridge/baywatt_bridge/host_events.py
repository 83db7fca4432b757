"""What the host's end of the link has to tell."""

from __future__ import annotations

from dataclasses import dataclass

from baywatt_bridge.messages import ChannelReport, ParameterBlock, Welcome
from baywatt_bridge.vocabulary import Fault, ResetReason, Result


@dataclass(frozen=True, slots=True)
class Connected:
    """Handshake done and parameters confirmed: targets are sent from now on."""

    welcome: Welcome
    parameters: ParameterBlock


@dataclass(frozen=True, slots=True)
class LinkLost:
    """The link was up and is not; the handshake is being tried again. `reason` is for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The board answers but the link cannot be used; said once. `reason` is for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class ChannelState:
    """One channel as the board reported it just now."""

    report: ChannelReport
    boot_locked: bool
    reset_reason: ResetReason


@dataclass(frozen=True, slots=True)
class CardSwiped:
    """A card was held to a reader `age_ms` ago; told once for each swipe."""

    channel: int
    uid: bytes
    age_ms: int


@dataclass(frozen=True, slots=True)
class LatchAnswered:
    """The board's answer to `HostLink.clear_latch`."""

    channel: int
    result: Result
    latched: Fault


Event = Connected | LinkLost | Refused | ChannelState | CardSwiped | LatchAnswered
