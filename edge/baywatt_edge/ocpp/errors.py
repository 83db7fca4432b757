"""What can go wrong between station and CSMS, named for what the caller can do about it."""

from __future__ import annotations

from enum import StrEnum


class OcppError(Exception):
    """Base of this package's errors; the text is one clear line."""


class BusyError(OcppError):
    """A CALL is outstanding: send the next one after its answer (OCPP-J 1.6, 4.1.1)."""


class BadOutgoingError(OcppError):
    """A payload of ours does not fit its schema: a bug here, nothing was sent."""


class ConnectRefusedError(OcppError):
    """The CSMS refused the connection; the text says why and how to mend it."""


class ConnectionLostError(OcppError):
    """The connection is gone; connect again after a back-off."""


class ErrorCode(StrEnum):
    """CALLERROR codes by meaning; a `Dialect` gives them the spelling of its version."""

    NOT_IMPLEMENTED = "NotImplemented"
    NOT_SUPPORTED = "NotSupported"
    INTERNAL = "InternalError"
    PROTOCOL = "ProtocolError"
    SECURITY = "SecurityError"
    FORMAT = "FormatViolation"
    PROPERTY = "PropertyConstraintViolation"
    OCCURRENCE = "OccurrenceConstraintViolation"
    TYPE = "TypeConstraintViolation"
    GENERIC = "GenericError"


class RefusedCallError(OcppError):
    """An inbound CALL must be answered with this CALLERROR."""

    def __init__(self, code: ErrorCode, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
