"""What can go wrong with a device, named for what the caller can do about it."""

from __future__ import annotations


class DevicesError(Exception):
    """Base of everything this room raises."""


class ProfileError(DevicesError):
    """A profile cannot be used: mend the file that the text names, or correct the site file."""


class BusSetupError(DevicesError):
    """The site file asks for a bus that this build cannot own; the text names bus and fix."""


class LineLostError(DevicesError):
    """Port or connection is gone or cannot be opened: open it again after a while."""


class ExchangeError(DevicesError):
    """One request brought no usable answer; the line itself is fine."""


class NoAnswerError(ExchangeError):
    """Nothing that answers the request arrived in time: try again later."""

    def __init__(self, message: str, damaged: int = 0) -> None:
        super().__init__(message)
        self.damaged = damaged
        """Bytes that arrived but belonged to no intact answer (noise, CRC errors, collisions)."""


class RefusedError(ExchangeError):
    """The device answered with a Modbus exception: asking the same again will not help."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code} ({_MEANINGS.get(code, 'unknown code')})")
        self.code = code


_MEANINGS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target did not respond",
}
