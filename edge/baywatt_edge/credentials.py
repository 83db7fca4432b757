"""Secrets by name: a site file says `cred:NAME`, the secret itself lies in a credentials folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

FALLBACK = Path("/etc/baywatt/credentials")


class MissingCredentialError(Exception):
    """A named credential is nowhere to be found; the text says where it was looked for."""


def resolve(value: str | None, environ: Mapping[str, str] = os.environ) -> str | None:
    """The secret behind `cred:NAME`; any other value is returned as it is.

    Looks in `$CREDENTIALS_DIRECTORY` (systemd's LoadCredential), then in /etc/baywatt/credentials.
    """
    if value is None or not value.startswith("cred:"):
        return value
    name = value.removeprefix("cred:")
    folders = [FALLBACK]
    if directory := environ.get("CREDENTIALS_DIRECTORY"):
        folders.insert(0, Path(directory))
    for folder in folders:
        file = folder / name
        if file.is_file():
            return file.read_text(encoding="utf-8").strip()
    looked = " or ".join(str(folder / name) for folder in folders)
    raise MissingCredentialError(f"credential {name!r} is missing: put it in {looked}")
