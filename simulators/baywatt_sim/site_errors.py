"""Errors of the simulated site, one clear line each."""

from __future__ import annotations


class SimulatorError(Exception):
    """Base of all errors that a person can mend: what is wrong, and the fix."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(f"{message} ({fix})")


class UnsupportedSiteError(SimulatorError):
    """The site file names something that cannot be simulated."""


class RefusedError(SimulatorError):
    """The request makes no physical sense now, e.g. plugging in a second car."""


class NoSuchThingError(SimulatorError):
    """The request names a connector, bay or device that does not exist."""
