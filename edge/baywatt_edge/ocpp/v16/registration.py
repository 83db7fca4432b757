"""Whether the CSMS has accepted this charge point (1.6 section 4.2)."""

from __future__ import annotations

from enum import StrEnum

from baywatt_contract.clock import Instant
from baywatt_edge.ocpp.frames import Json
from baywatt_edge.ocpp.outbox import Outgoing
from baywatt_edge.ocpp.rpc import Failure, FailureKind

OWN_RETRY_S = 30
"""Our choice where the CSMS gives no interval, or no answer."""


class Standing(StrEnum):
    """RegistrationStatus, and the time before there is one."""

    NEW = "booting"
    PENDING = "pending"
    REJECTED = "rejected"
    ACCEPTED = "accepted"


class Registration:
    """Asks until accepted; a reconnect after that is no boot (1.6J, 5.4)."""

    def __init__(self) -> None:
        self.standing = Standing.NEW
        self._next_boot_ms = 0
        self._under_way = False

    def boot_due(self, now: Instant) -> bool:
        """Whether a BootNotification must be queued now."""
        waits = self.standing is not Standing.ACCEPTED and not self._under_way
        return waits and now.mono_ms >= self._next_boot_ms

    def next_due_ms(self) -> int | None:
        """When `boot_due` turns true."""
        if self.standing is Standing.ACCEPTED or self._under_way:
            return None
        return self._next_boot_ms

    def boot_queued(self) -> None:
        """It waits for its turn."""
        self._under_way = True

    def boot_now(self) -> None:
        """The CSMS asked for it with TriggerMessage."""
        self._next_boot_ms = 0

    def answered(self, answer: Json, now: Instant) -> None:
        """BootNotification.conf: interval is a heartbeat when accepted, else the wait."""
        self._under_way = False
        self.standing = Standing(str(answer["status"]).lower())
        interval_s = int(answer["interval"])
        wait_s = interval_s if interval_s > 0 else OWN_RETRY_S
        self._next_boot_ms = now.mono_ms + wait_s * 1000

    def failed(self, failure: Failure, now: Instant) -> None:
        """No usable answer; a lost connection asks again as soon as there is a new one."""
        self._under_way = False
        wait_s = 0 if failure.kind is FailureKind.LOST else OWN_RETRY_S
        self._next_boot_ms = now.mono_ms + wait_s * 1000

    def may_send(self, outgoing: Outgoing) -> bool:
        """Nothing but BootNotification before acceptance; triggered messages while Pending."""
        if self.standing is Standing.ACCEPTED or outgoing.action == "BootNotification":
            return True
        return self.standing is Standing.PENDING and outgoing.triggered
