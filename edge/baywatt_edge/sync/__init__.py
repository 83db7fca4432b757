"""Sync: brings the journal's rows to the cloud, holds its desired state, hears its commands."""

from baywatt_edge.sync.agent import SyncAgent

__all__ = ["SyncAgent"]
