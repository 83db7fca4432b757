"""Shared pieces of the edge's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from baywatt_contract.site_file import SiteFile
from baywatt_contract.site_load import load_site_file

HARBOUR = Path(__file__).parents[2] / "examples" / "harbour" / "site.toml"


@pytest.fixture(scope="session")
def harbour() -> SiteFile:
    """The example site."""
    return load_site_file(HARBOUR)
