"""The configuration store behind GetConfiguration and ChangeConfiguration (1.6, 5.3 and 5.8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from baywatt_edge.ocpp.frames import Json
from baywatt_edge.ocpp.v16.config_keys import Key
from baywatt_edge.ocpp.v16.measurands import split_list


class Change(StrEnum):
    """ConfigurationStatus. No key of ours needs a reboot, so RebootRequired is never said."""

    ACCEPTED = "Accepted"
    REJECTED = "Rejected"
    NOT_SUPPORTED = "NotSupported"


class Config:
    """The values as they stand; names are compared without regard to case (CiString)."""

    def __init__(self, keys: Iterable[Key], stored: Mapping[str, object] | None = None) -> None:
        self._keys = {key.name.lower(): key for key in keys}
        self._values: dict[str, str] = {}
        self._integers: dict[str, int] = {}  # read at every turn of the core
        for name, value in (stored or {}).items():
            self.change(name, str(value))

    def judge(self, name: str, value: str) -> Change:
        """What `change` would answer."""
        key = self._keys.get(name.lower())
        if key is None:
            return Change.NOT_SUPPORTED
        if key.readonly or key.accepts(value) is None:
            return Change.REJECTED
        return Change.ACCEPTED

    def change(self, name: str, value: str) -> Change:
        """Set a value, or leave everything as it is and say why."""
        verdict = self.judge(name, value)
        if verdict is Change.ACCEPTED:
            key = self._keys[name.lower()]
            self._values[key.name] = key.accepts(value) or ""
            self._integers.clear()
        return verdict

    def canonical_name(self, name: str) -> str:
        """The key as the specification writes it; KeyError when there is no such key."""
        return self._keys[name.lower()].name

    def document(self) -> dict[str, str]:
        """What must survive: every value that was set."""
        return dict(self._values)

    def report(self, names: Sequence[str]) -> Json:
        """GetConfiguration.conf for these names; all keys when there are none."""
        if not names:
            return {"configurationKey": [self._entry(key) for key in self._keys.values()]}
        known = [self._keys[name.lower()] for name in names if name.lower() in self._keys]
        unknown = [name for name in names if name.lower() not in self._keys]
        answer: Json = {}
        if known:
            answer["configurationKey"] = [self._entry(key) for key in known]
        if unknown:
            answer["unknownKey"] = unknown
        return answer

    def text(self, name: str) -> str:
        """A value as it is reported."""
        key = self._keys[name.lower()]
        return self._values.get(key.name, key.default)

    def integer(self, name: str) -> int:
        """An integer value."""
        known = self._integers.get(name)
        if known is None:
            known = self._integers[name] = int(self.text(name))
        return known

    def boolean(self, name: str) -> bool:
        """A boolean value."""
        return self.text(name) == "true"

    def items(self, name: str) -> list[str]:
        """The items of a list value."""
        return split_list(self.text(name))

    def _entry(self, key: Key) -> Json:
        value = self.text(key.name)[:500]
        return {"key": key.name, "readonly": key.readonly, "value": value}
