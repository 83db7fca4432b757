"""The documentation names everything that people can type, set or read, and nothing that is not."""

from __future__ import annotations

import re
import tomllib
import types
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
import typer
from annotated_types import Ge, Le, MaxLen, MinLen
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from baywatt_cloud import cli as cloud_cli
from baywatt_cloud import modules
from baywatt_cloud.billing import cli as billing_cli
from baywatt_cloud.billing.module import make_payments
from baywatt_cloud.kit.settings import BadSettingError, Settings
from baywatt_contract.events import PAYLOADS
from baywatt_contract.site_file import BusKind, Section, SiteFile
from baywatt_contract.site_load import parse_site_file
from baywatt_edge.cli.app import app as edge_app
from baywatt_edge.cli.edge_rules import edge_rules
from baywatt_edge.cli.exits import Exit
from baywatt_edge.control.server import _GET_PATHS
from baywatt_edge.devices.modbus_open import MODBUS_KINDS
from baywatt_edge.devices.profile_library import SHIPPED, parse_profile
from baywatt_sim.cli import app as sim_app

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PACKAGES = ("contract", "edge", "firmware-bridge", "iso15118", "cloud", "simulators")
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *ROOT.glob("firmware-bridge/*.md")])
OF_TODAY = [path for path in PAGES if path.name != "CHANGELOG.md"]  # it tells of others, too
# Pages for readers of the running program; CHANGELOG and README may name what is gone or planned.
WRITTEN = ("installer.md", "operations.md", "drivers-and-operators.md", "security.md")

_ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,47}$"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_VARIABLE = re.compile(r"\bBAYWATT_[A-Z][A-Z_]*\b")


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def fences(text: str, language: str) -> list[str]:
    return [body for kind, body in _FENCE.findall(text) if kind == language]


# --- commands ------------------------------------------------------------------------------------


def commands(app: typer.Typer) -> list[str]:
    """`status`, `session start` …, as people type them."""
    found = [each.name or (each.callback.__name__ if each.callback else "?")
             for each in app.registered_commands]  # fmt: skip
    for group in app.registered_groups:
        assert group.typer_instance is not None
        found += [f"{group.name} {name}" for name in commands(group.typer_instance)]
    return found


def cloud_app() -> typer.Typer:
    if "price" not in commands(cloud_cli.app):
        billing_cli.register(cloud_cli.app)
    return cloud_cli.app


@pytest.mark.parametrize("command", commands(edge_app))
def test_every_command_of_the_installer_is_explained(command: str) -> None:
    assert f"`baywatt {command}" in page("installer.md")


@pytest.mark.parametrize("command", commands(cloud_app()))
def test_every_command_of_the_cloud_is_explained(command: str) -> None:
    assert f"`baywatt-cloud {command}" in page("operations.md")


@pytest.mark.parametrize("path", OF_TODAY, ids=lambda path: path.name)
def test_every_command_that_a_page_shows_exists(path: Path) -> None:
    """In a shell block or in backticks, `baywatt WORD` is a command of today's program."""
    text = path.read_text(encoding="utf-8")
    shell = "\n".join(body for kind, body in _FENCE.findall(text) if kind in {"", "sh"})
    shown = "\n".join([shell, *re.findall(r"`(baywatt[^`]*)`", _FENCE.sub("", text))])
    known = {"baywatt": edge_app, "baywatt-cloud": cloud_app(), "baywatt-sim": sim_app}
    for program, rest in re.findall(
        r"(?:^|[\s/])(baywatt(?:-cloud|-sim)?) +([a-z][a-z \-]*)", shown, re.MULTILINE
    ):
        names = commands(known[program])
        assert any(f"{rest} ".startswith(f"{name} ") for name in names) or any(
            name.startswith(f"{rest.strip()} ") for name in names
        ), f"{path.name}: {program} {rest}"


def test_the_readme_shows_only_commands_that_exist() -> None:
    shown = re.findall(r"^baywatt ([a-z]+)", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert shown
    assert set(shown) <= {name.split()[0] for name in commands(edge_app)}


def test_every_exit_code_is_in_the_installers_table() -> None:
    rows = table_rows(page("installer.md"), "Exit codes")
    assert {int(row[0]) for row in rows} == {int(code) for code in Exit}


@pytest.mark.parametrize("path", sorted(_GET_PATHS))
def test_what_the_control_socket_answers_is_named(path: str) -> None:
    assert f"`GET {path}`" in page("operations.md")


# --- site file -----------------------------------------------------------------------------------


def sections(model: type[BaseModel] = SiteFile) -> Iterator[tuple[str, type[Section]]]:
    """Each table's name with its model, in the order of the document."""
    for name, field in model.model_fields.items():
        for part in _parts(field.annotation):
            if isinstance(part, type) and issubclass(part, Section):
                yield name, part
                yield from ((f"{name}.{inner}", each) for inner, each in sections(part))


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        yield from _parts(part)


def allowed(field: FieldInfo) -> str:
    """What the documentation says a key may hold, derived from the model."""
    return _allowed(field.annotation, field.metadata)


def _allowed(annotation: Any, metadata: list[Any]) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        for each in more:
            metadata = [*metadata, *(each.metadata if isinstance(each, FieldInfo) else [each])]
        return _allowed(inner, metadata)
    if origin in (Union, types.UnionType):
        return _allowed(next(a for a in get_args(annotation) if a is not type(None)), metadata)
    if origin is Literal:
        return ", ".join(f"`{_toml(value)}`" for value in get_args(annotation))
    if origin is list:
        return f"list of {_allowed(get_args(annotation)[0], [])}{_length(metadata)}"
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return ", ".join(f"`{_toml(each.value)}`" for each in annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    return _bounds(annotation, metadata)


def _bounds(annotation: Any, metadata: list[Any]) -> str:
    kind = {int: "whole number", float: "number", str: "text"}[annotation]
    low = next((each.ge for each in metadata if isinstance(each, Ge)), None)
    high = next((each.le for each in metadata if isinstance(each, Le)), None)
    if low is not None and high is not None:
        return f"{kind}, {low} to {high}"
    pattern = next((p for each in metadata if (p := getattr(each, "pattern", None))), None)
    if pattern is not None:
        return "an id" if pattern == _ID else f"text, `{pattern}`"
    for each in metadata:
        if (least := getattr(each, "min_length", None)) is not None:
            return f"text, {least} to {each.max_length} characters"
    return kind


def _length(metadata: list[Any]) -> str:
    low = next((each.min_length for each in metadata if isinstance(each, MinLen)), None)
    high = next((each.max_length for each in metadata if isinstance(each, MaxLen)), None)
    return "" if low is None else f", {low} to {high} of them"


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return "none" if field.default is None else f"`{_toml(field.default)}`"


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value)


def table_rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading."""
    _, found, rest = text.partition(f"# {heading}\n")
    assert found, f"no heading {heading!r}"
    lines = iter(rest.split("\n#", 1)[0].splitlines())
    table = []
    for line in lines:
        if line.startswith("|"):
            table.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif table:
            break
    return table[2:]


@pytest.mark.parametrize(("name", "model"), list(sections()), ids=[name for name, _ in sections()])
def test_the_table_of_a_site_file_section_is_that_of_the_model(
    name: str, model: type[Section]
) -> None:
    rows = {row[0].strip("`"): row for row in table_rows(page("installer.md"), f"`{name}`")}
    assert list(rows) == list(model.model_fields)
    for key, field in model.model_fields.items():
        assert rows[key][1].replace("\\|", "|") == allowed(field), key
        assert rows[key][2] == default(field), key
        assert len(rows[key][3]) > 10, f"{key} has no meaning"


@pytest.mark.parametrize("kind", BusKind)
def test_each_bus_kind_is_listed_with_whether_it_works(kind: BusKind) -> None:
    rows = {row[0].strip("`"): row for row in table_rows(page("installer.md"), "Bus kinds")}
    works = kind in MODBUS_KINDS | {BusKind.CAN, BusKind.SERIAL}
    assert rows[kind.value][2] == ("works" if works else "not yet: the bus stays idle")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_toml_blocks_are_fragments_of_a_site_file_or_a_profile(path: Path) -> None:
    """Keys and values fit the model; only what a fragment leaves out may be missing."""
    for block in fences(path.read_text(encoding="utf-8"), "toml"):
        if "kind" in (document := tomllib.loads(block)):
            parse_profile(block, path.name)
            continue
        try:
            SiteFile.model_validate(document)
        except ValidationError as error:
            wrong = [each for each in error.errors()
                     if each["type"] != "missing" or len(each["loc"]) > 1]  # fmt: skip
            assert not wrong, f"{path.name}: {wrong}"


def test_the_installers_example_passes_the_check() -> None:
    example = fences(page("installer.md"), "toml")[0]
    parse_site_file(example, "installer.md", edge_rules(None))


# --- profiles, variables, events -----------------------------------------------------------------


def test_the_list_of_profiles_is_that_of_the_shipped_ones() -> None:
    rows = table_rows(page("installer.md"), "Device profiles")
    shipped = {file.stem for file in SHIPPED.glob("*.toml")}
    assert {row[0].strip("`") for row in rows} == shipped


def variables() -> set[str]:
    found = set()
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            found |= set(_VARIABLE.findall(file.read_text(encoding="utf-8")))
    return found


def test_every_environment_variable_is_in_operations_and_no_other() -> None:
    rows = [row for heading in ("Variables of the cloud", "Variables of the daemon")
            for row in table_rows(page("operations.md"), heading)]  # fmt: skip
    assert {row[0].strip("`") for row in rows} == variables()


def test_no_page_names_a_variable_that_nothing_reads() -> None:
    for path in PAGES:
        assert set(_VARIABLE.findall(path.read_text(encoding="utf-8"))) <= variables(), path.name


def test_every_event_type_is_in_the_table_with_its_class() -> None:
    rows = table_rows(page("operations.md"), "Events")
    assert {row[0].strip("`"): row[1] for row in rows} == {
        name: "A" if payload.class_a else "B" for name, payload in PAYLOADS.items()
    }


# --- log lines and metrics -----------------------------------------------------------------------


def sources() -> str:
    """The code's texts: literals that follow each other joined, what is filled in shown as `…`."""
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return re.sub(r"%(?:\.\d)?[a-z]|\{[^{}]*\}", "…", re.sub(r'"\s+f?"', "", text))


def test_every_quoted_log_line_is_one_that_the_program_writes() -> None:
    written = sources()
    for row in table_rows(page("operations.md"), "When something fails"):
        for quoted in re.findall(r"`([^`]+)`", row[2]):
            for fragment in quoted.split("…"):
                words = fragment.strip(" ():;")
                assert words in written, f"{row[0]}: {words}"


def test_every_metric_is_in_operations_and_no_other() -> None:
    table = " ".join(" ".join(row) for row in table_rows(page("operations.md"), "Metrics of both"))
    named = set(re.findall(r"`(baywatt_[a-z_]+)`", table))
    declared = r'(?:Family|Counter|Gauge|Histogram)\(\s*"(baywatt_[a-z_]+)"'
    assert named == set(re.findall(declared, sources()))


# --- REST ----------------------------------------------------------------------------------------


def routes() -> list[str]:
    """`POST /charging/quote` …, pages and live streams included."""
    found = []
    for router in modules.routers():
        for route in router.routes:
            path = getattr(route, "path", "")
            methods = sorted(route.methods or ()) if isinstance(route, APIRoute) else ["WS"]
            found += [f"{method} {path}" for method in methods]
    return found


@pytest.mark.parametrize("route", routes())
def test_every_route_is_listed(route: str) -> None:
    rows = table_rows(page("drivers-and-operators.md"), "All routes")
    rows += table_rows(page("drivers-and-operators.md"), "Pages")
    assert route in {row[0].strip("`") for row in rows}


def test_no_route_is_listed_that_does_not_exist() -> None:
    rows = table_rows(page("drivers-and-operators.md"), "All routes")
    rows += table_rows(page("drivers-and-operators.md"), "Pages")
    assert {row[0].strip("`") for row in rows} <= set(routes())


# --- what the pages say is missing ---------------------------------------------------------------


def test_real_payment_is_still_missing_as_the_pages_say() -> None:
    """When this fails, `stripe` works: tell so in operations.md and security.md."""
    with pytest.raises(BadSettingError):
        make_payments(Settings(payment="stripe"), lambda: 0)


# --- links ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_relative_links_resolve(path: Path) -> None:
    for target in _LINK.findall(_FENCE.sub("", path.read_text(encoding="utf-8"))):
        if "://" in target or target.startswith(("#", "mailto:")):
            continue
        file = (path.parent / target.partition("#")[0]).resolve()
        assert file.exists(), f"{path.name} links {target}"


@pytest.mark.parametrize("name", WRITTEN)
def test_the_readme_leads_to_every_page(name: str) -> None:
    linked = _LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    linked += _LINK.findall(page("architecture.md"))
    assert f"docs/{name}" in linked or name in linked
