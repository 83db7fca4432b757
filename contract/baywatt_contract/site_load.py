"""Reading a site file from disk: every problem names the file, the line, the key and the fix."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from baywatt_contract.site_file import SiteFile
from baywatt_contract.site_rules import Rule, findings

_HEADER = re.compile(r"^\s*(\[\[|\[)\s*([A-Za-z0-9_.\-\"' ]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_\-]+|\"[^\"]+\")\s*=")
_TOML_AT = re.compile(r"\(at line (\d+), column \d+\)")

_FIXES = {
    "missing": "add the key",
    "extra_forbidden": "remove the key or correct its spelling",
    "string_pattern_mismatch": "use the form that the documentation shows",
    "literal_error": "use one of the listed values",
    "enum": "use one of the listed values",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a file, in the form that `baywatt check` prints."""

    file: str
    line: int
    key: str
    message: str
    fix: str

    def __str__(self) -> str:
        """`file:line: key: message (fix)`."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.key, f"{self.message} ({self.fix})") if part)


class BadSiteFileError(Exception):
    """The site file cannot be used; `problems` lists every reason."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def load_site_file(path: Path, extra_rules: Iterable[Rule] = ()) -> SiteFile:
    """The checked site file at `path`; raises BadSiteFileError with every problem found.

    `extra_rules` look at things that only the caller knows, such as a library of profiles.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise BadSiteFileError(
            [Problem(str(path), 0, "", f"cannot be read: {reason}", "give the path of a site file")]
        ) from error
    return parse_site_file(text, str(path), extra_rules)


def parse_site_file(text: str, file: str, extra_rules: Iterable[Rule] = ()) -> SiteFile:
    """The checked site file in `text`; `file` names it in problems."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = _TOML_AT.search(str(error))
        message = _TOML_AT.sub("", str(error)).strip()
        line = int(at[1]) if at else len(text.splitlines())
        raise BadSiteFileError(
            [Problem(file, line, "", f"not valid TOML: {message}", "correct this line")]
        ) from error
    lines = _lines_of_keys(text)
    try:
        site = SiteFile.model_validate(document)
    except ValidationError as error:
        raise BadSiteFileError(
            [_shape_problem(file, lines, each) for each in error.errors(include_url=False)]
        ) from error
    found = [*findings(site), *(each for rule in extra_rules for each in rule(site))]
    problems = [
        Problem(file, _line_of(lines, each.path), _dotted(each.path), each.message, each.fix)
        for each in found
    ]
    if problems:
        raise BadSiteFileError(problems)
    return site


def _shape_problem(file: str, lines: dict[tuple[str | int, ...], int], e: ErrorDetails) -> Problem:
    path = tuple(e["loc"])
    silent = e["type"] == "missing" or "password" in str(path[-1:])  # no secret in a message
    given = "" if silent else _shown(e["input"])
    message = e["msg"][0].lower() + e["msg"][1:] + given
    fix = _FIXES.get(e["type"], "correct the value")
    return Problem(file, _line_of(lines, path), _dotted(path), message, fix)


def _shown(value: Any) -> str:  # noqa: ANN401 - whatever stood in the file
    text = repr(value)
    return f", not {text}" if len(text) <= 60 else ""


def _dotted(path: tuple[str | int, ...]) -> str:
    """`connectors[2].meter`, with the table numbered from 1 as a person counts."""
    out = ""
    for part in path:
        out += f"[{part + 1}]" if isinstance(part, int) else (f".{part}" if out else part)
    return out


def _line_of(lines: dict[tuple[str | int, ...], int], path: tuple[str | int, ...]) -> int:
    """The line of the key, else of the nearest table around it, else 1."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


def _lines_of_keys(text: str) -> dict[tuple[str | int, ...], int]:
    """Where each table and key of a TOML text stands (tomllib keeps no positions)."""
    found: dict[tuple[str | int, ...], int] = {}
    counts: dict[str, int] = {}
    table: tuple[str | int, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            name = header[2].strip()
            parts = tuple(part.strip(" \"'") for part in name.split("."))
            if header[1] == "[[":
                counts[name] = counts.get(name, -1) + 1
                table = (*parts, counts[name])
            else:
                table = _within_array(parts, counts)
            found.setdefault(table, number)
            found.setdefault(parts[:1], number)
        elif key := _KEY.match(line):
            found.setdefault((*table, key[1].strip('"')), number)
    return found


def _within_array(parts: tuple[str, ...], counts: dict[str, int]) -> tuple[str | int, ...]:
    """`[connectors.v2g]` belongs to the last `[[connectors]]`."""
    if len(parts) > 1 and parts[0] in counts:
        return (parts[0], counts[parts[0]], *parts[1:])
    return parts
