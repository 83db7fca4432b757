"""What `check` knows beyond the contract: things that lie on this controller."""

from __future__ import annotations

from pathlib import Path

from baywatt_contract.site_rules import Rule


def edge_rules(site_path: Path, profiles: Path | None) -> list[Rule]:
    """The rules of this controller for the site file at `site_path`."""
    return []
