"""Payload validation: lenient on what comes in, strict on what goes out.

The JSON schemas lie inside the `ocpp` package; they are read as files, so that none of its modules
is imported, and each is compiled at its first use.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs

from baywatt_edge.ocpp.errors import BadOutgoingError, ErrorCode, RefusedCallError
from baywatt_edge.ocpp.frames import Json

Patch = Callable[[Json], None]

_CODES: dict[str, ErrorCode] = {
    "Type": ErrorCode.TYPE,
    "Required": ErrorCode.OCCURRENCE,
    "MinItems": ErrorCode.OCCURRENCE,
    "MaxItems": ErrorCode.OCCURRENCE,
}


def schema_folder(package: str, version_folder: str) -> Path:
    """Where the schemas of a version lie; the package is located, not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"package {package!r} is not installed: install the edge extra")
    return Path(spec.submodule_search_locations[0]) / version_folder / "schemas"


class Schemas:
    """The checks of one OCPP version.

    `patches` mend known errors in published schema files, by file name without `.json`.
    """

    def __init__(self, folder: Path, patches: Mapping[str, Patch] | None = None) -> None:
        self._folder = folder
        self._patches = patches or {}
        self._names = frozenset(path.stem for path in folder.glob("*.json"))
        self._compiled: dict[tuple[str, bool], jsonschema_rs.Draft4Validator] = {}

    def knows(self, action: str) -> bool:
        """Whether the version has this action."""
        return action in self._names and f"{action}Response" in self._names

    def check_incoming(self, name: str, payload: object) -> Json:
        """The payload as an object (null counts as {}), unknown fields left in.

        Raises RefusedCallError with the code that the failure calls for.
        """
        value = {} if payload is None else payload
        if not isinstance(value, dict):
            raise RefusedCallError(ErrorCode.FORMAT, "the payload is not an object")
        for error in self._validator(name, strict=False).iter_errors(value):
            kind = type(error.kind).__name__
            where = ".".join(str(part) for part in error.instance_path)
            text = f"{where}: {error.message}" if where else error.message
            raise RefusedCallError(_CODES.get(kind, ErrorCode.PROPERTY), text[:255])
        return value

    def check_outgoing(self, name: str, payload: Json) -> None:
        """Raises BadOutgoingError when a payload of ours does not fit its schema."""
        for error in self._validator(name, strict=True).iter_errors(payload):
            raise BadOutgoingError(f"{name}: {error.message}")

    def _validator(self, name: str, *, strict: bool) -> jsonschema_rs.Draft4Validator:
        key = (name, strict)
        if key not in self._compiled:
            self._compiled[key] = self._compile(name, strict=strict)
        return self._compiled[key]

    def _compile(self, name: str, *, strict: bool) -> jsonschema_rs.Draft4Validator:
        schema: Json = json.loads((self._folder / f"{name}.json").read_text("utf-8-sig"))
        if patch := self._patches.get(name):
            patch(schema)
        if not strict:
            _allow_extra(schema)
        return jsonschema_rs.Draft4Validator(schema, validate_formats=strict)


def _allow_extra(node: Any) -> None:  # noqa: ANN401 - a schema is JSON of any shape
    if isinstance(node, dict):
        node.pop("additionalProperties", None)
        for child in node.values():
            _allow_extra(child)
    elif isinstance(node, list):
        for child in node:
            _allow_extra(child)
