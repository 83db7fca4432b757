"""What a decision consists of, and the inputs that only the daemon itself makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from baywatt_contract.events import Payload
from baywatt_contract.grants import Grant
from baywatt_contract.observations import Observation, ReadMeter
from baywatt_contract.wishes import AuthorisationQuestion, Outcome, Wish
from baywatt_edge.site.live import Live
from baywatt_edge.site.state import SiteState


@dataclass(frozen=True, slots=True)
class Tick:
    """A deadline passed, or nothing happened for a while."""


@dataclass(frozen=True, slots=True)
class GrantsChanged:
    """What `power` grants each connector now."""

    grants: Mapping[int, Grant]


@dataclass(frozen=True, slots=True)
class AskAuthorities:
    """Effect: put the question to the CSMS; its answer comes back as AuthorisationAnswer."""

    question: AuthorisationQuestion


@dataclass(frozen=True, slots=True)
class Restart:
    """Effect: all sessions have ended as asked; restart the daemon."""

    hard: bool


@dataclass(frozen=True, slots=True)
class StorageChanged:
    """The journal's disk is full (no new session begins), or has room again."""

    full: bool


Input = Observation | Wish | Tick | GrantsChanged | StorageChanged
Effect = ReadMeter | AskAuthorities | Restart


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one input.

    `state` is `state` before with `events` evolved, `live` what was observed; `outcome` answers a
    wish and is given to the asker when the events are committed; `deadline_mono_ms` asks for a
    Tick no later than then.
    """

    state: SiteState
    live: Live
    events: tuple[Payload, ...] = ()
    effects: tuple[Effect, ...] = ()
    outcome: Outcome | None = None
    deadline_mono_ms: int | None = None
