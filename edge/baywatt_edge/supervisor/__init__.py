"""Keeps the daemon's tasks alive and tells systemd the truth about them."""

from baywatt_edge.supervisor.notify import SystemdNotifier
from baywatt_edge.supervisor.policy import Criticality
from baywatt_edge.supervisor.supervisor import Supervisor

__all__ = ["Criticality", "Supervisor", "SystemdNotifier"]
