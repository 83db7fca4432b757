"""Modules that a build of the cloud may lack, found by name without importing them."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType


def optional(name: str) -> ModuleType | None:
    """The module, imported; None when this installation does not have it."""
    package = name.rpartition(".")[0]
    if importlib.util.find_spec(package) is None or importlib.util.find_spec(name) is None:
        return None
    return importlib.import_module(name)
