"""Every table of the cloud. Import tables from here; alembic compares this metadata.

Billing and notify keep tables of their own beside their code; `load_all` imports them too.
"""

from __future__ import annotations

from baywatt_cloud.kit.base import Base
from baywatt_cloud.kit.plugins import optional
from baywatt_cloud.models.booking import (
    BLOCKING,
    Booking,
    BookingResource,
    BookingStatus,
    Command,
    CommandStatus,
    DesiredState,
)
from baywatt_cloud.models.inbox import InboxEvent, InboxState, ParkedSession, StreamCursor
from baywatt_cloud.models.money import Quote, Tariff
from baywatt_cloud.models.outbox import Delivery, DomainEvent, IdempotencyKey, Secret
from baywatt_cloud.models.people import Role, User, UserToken
from baywatt_cloud.models.session import ChargingSession, Fault, LimitChange, MeterSample
from baywatt_cloud.models.site import Bay, Connector, Resource, Site

__all__ = [
    "BLOCKING",
    "Base",
    "Bay",
    "Booking",
    "BookingResource",
    "BookingStatus",
    "ChargingSession",
    "Command",
    "CommandStatus",
    "Connector",
    "Delivery",
    "DesiredState",
    "DomainEvent",
    "Fault",
    "IdempotencyKey",
    "InboxEvent",
    "InboxState",
    "LimitChange",
    "MeterSample",
    "ParkedSession",
    "Quote",
    "Resource",
    "Role",
    "Secret",
    "Site",
    "StreamCursor",
    "Tariff",
    "User",
    "UserToken",
    "load_all",
]


def load_all() -> None:
    """Import the modules that define tables outside this package."""
    for name in ("baywatt_cloud.billing.models", "baywatt_cloud.notify.models"):
        optional(name)
