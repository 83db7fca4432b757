"""The words of the protocol: every number on the wire that has a name (PROTOCOL.md, section 4)."""

from __future__ import annotations

from enum import IntEnum, IntFlag

MAJOR = 1
MINOR = 0
NO_SESSION = 0
MIN_OFFER_MA = 6_000  # IEC 61851-1: the pilot cannot offer less


class Kind(IntEnum):
    """The first byte of a payload; bit 7 set means: from the board."""

    HELLO = 0x01
    CONTROL = 0x02
    CARD_ACK = 0x03
    GET_PARAMETERS = 0x04
    SET_PARAMETERS = 0x05
    CLEAR_LATCH = 0x06
    WELCOME = 0x81
    STATE = 0x82
    CARD_READ = 0x83
    PARAMETERS = 0x84
    LATCH_ANSWER = 0x85


class ChannelKind(IntEnum):
    """What a channel switches."""

    AC_SOCKET = 1
    AC_CABLE = 2
    DC = 3


class Pilot(IntEnum):
    """IEC 61851-1 pilot state, as its ASCII letter."""

    A = 0x41
    B = 0x42
    C = 0x43
    D = 0x44
    E = 0x45
    F = 0x46


class Lock(IntEnum):
    """Feedback of the plug lock."""

    NONE = 0
    UNLOCKED = 1
    LOCKED = 2
    MOVING = 3
    FAILED = 4


class HostLoss(IntEnum):
    """How long the channel has been without a valid control entry."""

    PRESENT = 0
    FAIL_SAFE = 1
    OPEN = 2


class ResetReason(IntEnum):
    """Why the board started."""

    UNKNOWN = 0
    POWER_ON = 1
    WATCHDOG = 2
    SOFTWARE = 3
    BROWN_OUT = 4
    UPDATE = 5


class SelfTest(IntEnum):
    """The self test after the reset."""

    PASSED = 0
    FAILED = 1


class Result(IntEnum):
    """A board's answer to a request."""

    DONE = 0
    OUT_OF_RANGE = 1
    CAUSE_PRESENT = 2
    NO_SUCH_CHANNEL = 3


class ControlFlag(IntFlag):
    """Flags of a control entry."""

    PERMIT = 1
    AVAILABLE = 2


class ChannelFlag(IntFlag):
    """Flags of a channel's state."""

    CONTACTOR_CLOSED = 1
    MIRROR_PRESENT = 2
    POWER_ENABLED = 4


class StateFlag(IntFlag):
    """Flags of the whole board's state."""

    BOOT_LOCKED = 1


class Fault(IntFlag):
    """Fault bits of a channel."""

    RESIDUAL_CURRENT = 1 << 0
    CONTACTOR_WELDED = 1 << 1
    OVER_TEMPERATURE = 1 << 2
    PILOT_SHORT = 1 << 3
    EMERGENCY_STOP = 1 << 4
    SELF_TEST_FAILED = 1 << 5
    LOCK_FAILED = 1 << 6
    VENTILATION = 1 << 7
    OVER_CURRENT = 1 << 8
    CONTROLLER = 1 << 9


NO_FAULT = Fault(0)
LATCHING = (
    Fault.RESIDUAL_CURRENT
    | Fault.CONTACTOR_WELDED
    | Fault.OVER_TEMPERATURE
    | Fault.PILOT_SHORT
    | Fault.EMERGENCY_STOP
    | Fault.SELF_TEST_FAILED
)
KNOWN_FAULTS = Fault(0x3FF)
