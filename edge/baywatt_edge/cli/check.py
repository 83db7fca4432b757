"""`baywatt check`: everything that can be known of a site file without its hardware."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from baywatt_contract.site_file import SiteFile
from baywatt_contract.site_load import BadSiteFileError, Problem, load_site_file
from baywatt_edge.cli.edge_rules import edge_rules
from baywatt_edge.cli.exits import Exit


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. `site` is None when the file cannot be used at all."""

    problems: tuple[Problem, ...]
    site: SiteFile | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.problems

    def document(self) -> dict[str, Any]:
        """The form of `check --json`."""
        return {"ok": self.ok, "problems": [asdict(problem) for problem in self.problems]}

    @property
    def exit_code(self) -> Exit:
        """FINDINGS for a file with mistakes, USAGE where there is no file or it is not TOML."""
        if self.ok:
            return Exit.OK
        return Exit.FINDINGS if all(each.key for each in self.problems) else Exit.USAGE


def check(path: Path, profiles: Path | None = None) -> Report:
    """All problems of the site file at `path`; own device profiles are looked up in `profiles`."""
    try:
        return Report((), load_site_file(path, edge_rules(profiles)))
    except BadSiteFileError as error:
        return Report(tuple(error.problems))
