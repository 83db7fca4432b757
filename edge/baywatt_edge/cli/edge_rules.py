"""What `check` knows beyond the contract: things that lie on this controller."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from baywatt_contract.site_file import SiteFile
from baywatt_contract.site_rules import Finding, Rule
from baywatt_edge.devices.errors import ProfileError
from baywatt_edge.devices.profile_library import ProfileLibrary

OWN_PROFILES = Path("/etc/baywatt/profiles")


def edge_rules(profiles: Path | None) -> list[Rule]:
    """The rules of this controller; profiles of one's own lie in `profiles`."""
    folder = profiles or OWN_PROFILES
    library = ProfileLibrary([folder])

    def profile_exists(site: SiteFile) -> Iterator[Finding]:
        for i, device in enumerate(site.devices):
            try:
                library.get(device.profile)
            except ProfileError as error:
                fix = f"name a shipped profile, or put your own into {folder}"
                yield Finding(("devices", i, "profile"), str(error), fix)

    return [profile_exists]
