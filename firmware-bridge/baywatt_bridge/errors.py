"""What can go wrong on the link, named for what the caller can do."""

from __future__ import annotations


class BridgeError(Exception):
    """Base of this package's errors."""


class BadFrameError(BridgeError):
    """These bytes are no frame (COBS, size or CRC): drop them and count them."""


class BadMessageError(BridgeError):
    """A sound frame holds no valid message of this protocol: drop it and count it."""


class NotConnectedError(BridgeError):
    """There is no session with the board now: ask again when there is."""
