"""The messages of the protocol as values, and their bytes (PROTOCOL.md, section 5).

`encode` and `decode` turn a message into a frame's payload and back. A message may be longer than
known here: later minor versions append fields, which are passed over.
"""

from __future__ import annotations

from dataclasses import dataclass

from baywatt_bridge.layout import Layout
from baywatt_bridge.vocabulary import (
    NO_FAULT,
    ChannelKind,
    Fault,
    HostLoss,
    Lock,
    Pilot,
    ResetReason,
    Result,
    SelfTest,
)

MAX_CHANNELS = 16

HELLO = Layout("major:u8", "minor:u8", "reserved:u16", "session:u32")
WELCOME = Layout(
    "major:u8", "minor:u8", "reserved:u16", "session:u32",
    "board_type:bytes16", "serial:bytes16", "firmware:bytes16",
    "boot_counter:u32", "reset_reason:u8", "self_test:u8", "count:u8", "size:u8",
)  # fmt: skip
WELCOME_CHANNEL = Layout("channel:u8", "kind:u8", "phases:u8", "reserved:u8", "max_ma:u32")
CONTROL = Layout("session:u32", "sequence:u16", "count:u8", "size:u8")
CONTROL_CHANNEL = Layout("channel:u8", "flags:u8", "phases:u8", "unlock:u8", "limit_ma:u32")
STATE = Layout(
    "session:u32", "sequence:u16", "control_sequence:u16", "uptime_ms:u32",
    "flags:u8", "reset_reason:u8", "count:u8", "size:u8",
)  # fmt: skip
STATE_CHANNEL = Layout(
    "channel:u8", "pilot:u8", "flags:u8", "lock:u8", "host_lost:u8", "phases:u8",
    "faults:u16", "latched:u16", "offered_ma:u32", "cable_max_ma:u32",
)  # fmt: skip
CARD_READ = Layout(
    "session:u32", "counter:u16", "channel:u8", "uid_length:u8", "uid:bytes10", "age_ms:u16"
)
CARD_ACK = Layout("session:u32", "counter:u16")
GET_PARAMETERS = Layout("session:u32", "request:u16")
SET_PARAMETERS = Layout(
    "session:u32", "request:u16",
    "fail_safe_ma:u32", "host_loss_ms:u32", "host_loss_open_ms:u32",
)  # fmt: skip
PARAMETERS = Layout(
    "session:u32", "request:u16", "result:u8", "reserved:u8",
    "fail_safe_ma:u32", "host_loss_ms:u32", "host_loss_open_ms:u32",
)  # fmt: skip
CLEAR_LATCH = Layout("session:u32", "request:u16", "channel:u8", "reserved:u8", "faults:u16")
LATCH_ANSWER = Layout("session:u32", "request:u16", "channel:u8", "result:u8", "latched:u16")


@dataclass(frozen=True, slots=True)
class Hello:
    """The host opens a session; `session` is any number but 0 that it did not use before."""

    session: int
    major: int
    minor: int


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """What a channel is and can carry."""

    channel: int
    kind: ChannelKind
    phases: int
    max_ma: int


@dataclass(frozen=True, slots=True)
class Welcome:
    """The board's answer: who it is, and how it came up."""

    session: int
    major: int
    minor: int
    board_type: str
    serial: str
    firmware: str
    boot_counter: int
    reset_reason: ResetReason
    self_test: SelfTest
    channels: tuple[ChannelInfo, ...]


@dataclass(frozen=True, slots=True)
class ChannelControl:
    """What one channel shall do until the next control frame or host loss.

    `unlock` is a counter: each change within a session releases the plug once.
    """

    channel: int
    permit: bool
    limit_ma: int
    phases: int = 3
    available: bool = True
    unlock: int = 0


@dataclass(frozen=True, slots=True)
class Control:
    """The host's control frame; a channel that is not named is not controlled."""

    session: int
    sequence: int
    channels: tuple[ChannelControl, ...]


@dataclass(frozen=True, slots=True)
class ChannelReport:
    """One channel as it stands; `contactor_closed` None without mirror contact."""

    channel: int
    pilot: Pilot
    contactor_closed: bool | None
    lock: Lock
    offered_ma: int
    host_lost: HostLoss = HostLoss.PRESENT
    phases: int = 3
    faults: Fault = NO_FAULT
    latched: Fault = NO_FAULT
    cable_max_ma: int = 0
    power_enabled: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """The board's state frame; `control_sequence` echoes the last control frame it obeyed."""

    session: int
    sequence: int
    control_sequence: int
    uptime_ms: int
    boot_locked: bool
    reset_reason: ResetReason
    channels: tuple[ChannelReport, ...]


@dataclass(frozen=True, slots=True)
class CardRead:
    """A card at a reader; repeated until acknowledged. `counter` tells swipes apart."""

    session: int
    counter: int
    channel: int
    uid: bytes
    age_ms: int


@dataclass(frozen=True, slots=True)
class CardAck:
    """The host has taken charge of the swipe."""

    session: int
    counter: int


@dataclass(frozen=True, slots=True)
class ParameterBlock:
    """What the board keeps over a reset."""

    fail_safe_ma: int = 6_000
    host_loss_ms: int = 1_000
    host_loss_open_ms: int = 60_000

    def in_range(self) -> bool:
        """Whether a board may accept the block."""
        return (
            (self.fail_safe_ma == 0 or 6_000 <= self.fail_safe_ma <= 80_000)
            and 300 <= self.host_loss_ms <= 10_000
            and self.host_loss_ms <= self.host_loss_open_ms <= 3_600_000
        )


@dataclass(frozen=True, slots=True)
class GetParameters:
    """Ask for the parameter block."""

    session: int
    request: int


@dataclass(frozen=True, slots=True)
class SetParameters:
    """Store a parameter block."""

    session: int
    request: int
    block: ParameterBlock


@dataclass(frozen=True, slots=True)
class Parameters:
    """The block in force, after a get or set."""

    session: int
    request: int
    result: Result
    block: ParameterBlock


@dataclass(frozen=True, slots=True)
class ClearLatch:
    """A person has seen to the fault: forget it where its cause is gone."""

    session: int
    request: int
    channel: int
    faults: Fault


@dataclass(frozen=True, slots=True)
class LatchAnswer:
    """What is still latched after a ClearLatch."""

    session: int
    request: int
    channel: int
    result: Result
    latched: Fault


Message = (
    Hello | Welcome | Control | State | CardRead | CardAck | GetParameters | SetParameters
    | Parameters | ClearLatch | LatchAnswer
)  # fmt: skip
