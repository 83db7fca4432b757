"""Options of the whole suite."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the long tests too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the soak tests out of the everyday run altogether."""
    if config.getoption("--soak"):
        return
    soak = [item for item in items if "soak" in item.keywords]
    config.hook.pytest_deselected(items=soak)
    items[:] = [item for item in items if item not in soak]
