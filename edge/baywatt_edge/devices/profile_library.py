"""Finding profiles by name: own folders first, then the shipped ones."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from pathlib import Path

from pydantic import ValidationError

from baywatt_edge.devices.errors import ProfileError
from baywatt_edge.devices.profile import Profile

SHIPPED = Path(__file__).resolve().parent.parent / "profiles"
_MAX_BYTES = 512 * 1024


def parse_profile(text: str, file: str) -> Profile:
    """The profile in `text`; raises ProfileError naming the file, the key and what is wrong."""
    try:
        document = tomllib.loads(text, parse_float=_decimal)
        return Profile.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "profile"
        raise ProfileError(f"{file}: {key}: {first['msg']}") from error
    except ValueError as error:  # TOMLDecodeError among them
        raise ProfileError(f"{file}: not valid TOML: {error}") from error


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is no number") from error


class ProfileLibrary:
    """All profiles of some folders; a name in an earlier folder hides the same name in a later.

    The shipped folder is always the last. Files are read when asked for, once.
    """

    def __init__(self, dirs: Sequence[Path] = ()) -> None:
        self._dirs = [*dirs, SHIPPED]
        self._loaded: dict[str, Profile] = {}

    def names(self) -> list[str]:
        """Every profile name that can be asked for."""
        return sorted({file.stem for folder in self._dirs for file in folder.glob("*.toml")})

    def get(self, name: str, device_id: str = "") -> Profile:
        """The profile `name`; raises ProfileError, which names the device and near matches."""
        if name not in self._loaded:
            self._loaded[name] = self._read(name, device_id)
        return self._loaded[name]

    def _read(self, name: str, device_id: str) -> Profile:
        for folder in self._dirs:
            if name in {file.stem for file in folder.glob("*.toml")}:
                return self._load(folder / f"{name}.toml", name)
        known = self.names()
        near = get_close_matches(name, known, 3, 0.4)
        wish = f"did you mean {' or '.join(near)}?" if near else f"one of: {', '.join(known)}"
        whose = f"device {device_id!r}: " if device_id else ""
        raise ProfileError(f"{whose}no profile {name!r} ({wish})")

    def _load(self, file: Path, name: str) -> Profile:
        try:
            if file.stat().st_size > _MAX_BYTES:
                raise ProfileError(f"{file}: larger than {_MAX_BYTES} bytes")
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ProfileError(f"{file}: cannot be read: {error}") from error
        profile = parse_profile(text, str(file))
        if profile.id != name:
            raise ProfileError(f"{file}: id {profile.id!r} differs from the file's name")
        return profile
