"""Be an OCPP charge point: a cursor over the journal outwards, a set of wishes inwards."""

from baywatt_edge.ocpp.backoff import BackOffRule
from baywatt_edge.ocpp.errors import OcppError
from baywatt_edge.ocpp.station import OcppStation

__all__ = ["BackOffRule", "OcppError", "OcppStation"]
