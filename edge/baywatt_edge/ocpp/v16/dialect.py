"""What is particular to 1.6 on the wire: schemas, their errors, and the spelling of error codes."""

from __future__ import annotations

from baywatt_edge.ocpp.errors import ErrorCode
from baywatt_edge.ocpp.frames import Json
from baywatt_edge.ocpp.rpc import Dialect
from baywatt_edge.ocpp.schemas import Schemas, schema_folder

SUBPROTOCOL = "ocpp1.6"

# The published table has these spellings, and the errata keep them (1.6J errata 5.1 and 5.2).
_SPELLING = {
    ErrorCode.FORMAT: "FormationViolation",
    ErrorCode.OCCURRENCE: "OccurenceConstraintViolation",
}


def _reason_is_optional(schema: Json) -> None:
    """1.6J errata 2.6: StopTransaction.reason is optional."""
    schema["required"] = [name for name in schema["required"] if name != "reason"]


def _any_message(schema: Json) -> None:
    """An unknown requestedMessage is answered NotImplemented (1.6, 5.17), not a CALLERROR."""
    schema["properties"]["requestedMessage"].pop("enum", None)


def _interval_is_integer(schema: Json) -> None:
    """1.6J errata 2.4; 300.0 counts as an integer here."""
    schema["properties"]["interval"]["type"] = "integer"


def dialect() -> Dialect:
    """The dialect with its schemas; they are read and compiled when first needed."""
    patches = {
        "StopTransaction": _reason_is_optional,
        "TriggerMessage": _any_message,
        "BootNotificationResponse": _interval_is_integer,
    }
    return Dialect(SUBPROTOCOL, Schemas(schema_folder("ocpp", "v16"), patches), _SPELLING)
