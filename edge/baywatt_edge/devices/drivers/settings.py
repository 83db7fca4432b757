"""Settings that a device shall hold: written when they differ, believed when read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from baywatt_edge.devices.blocks import Block, compile_blocks
from baywatt_edge.devices.decode import decode_block, encode
from baywatt_edge.devices.modbus_frames import Request
from baywatt_edge.devices.profile import Profile
from baywatt_edge.devices.register import Register

_RETRY_MS = 5_000
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Write:
    """A write on its way; one without `proof` (a life sign) is not read back."""

    name: str
    raw: int
    proof: bool = True


@dataclass(frozen=True, slots=True)
class ReadBack:
    """A read of settings on its way."""

    block: Block


Action = Write | ReadBack


class Settings:
    """Reconciles what the registers hold with what is desired, one request at a time; pure."""

    def __init__(self, profile: Profile, unit: int, names: Sequence[str]) -> None:
        if profile.modbus is None:
            raise ValueError("no Modbus profile")
        self._unit = unit
        self._registers: dict[str, Register] = {name: profile.register(name) for name in names}
        readable = [each for each in self._registers.values() if each.readable]
        self._blocks = compile_blocks(readable, profile.modbus)
        self._held: dict[str, int] = {}
        self._known: dict[str, int] = {}
        self._wanted: dict[str, int] = {}
        self._tries: dict[str, int] = {}
        self._rest_until_ms: dict[str, int] = {}

    def holds(self, name: str) -> int | None:
        """The raw value read back last; None when it is not known for sure."""
        return self._held.get(name)

    def known(self, name: str) -> int | None:
        """The raw value read back last, even if it may have changed since."""
        return self._known.get(name)

    def refuses(self) -> list[str]:
        """Settings that the device does not take although it was asked several times."""
        return [name for name, tries in self._tries.items() if tries >= _TRIES]

    def forget(self, *names: str) -> None:
        """Read these (or all) again before believing them."""
        for name in names or tuple(self._held):
            self._held.pop(name, None)

    def hurry(self) -> None:
        """Do not let earlier refusals delay the next try."""
        self._rest_until_ms.clear()

    def next(self, desired: Mapping[str, int], now_ms: int) -> Action | None:
        """What to do first, in the order of `desired`; None when all is as desired."""
        for name, raw in desired.items():
            if self._held.get(name) == raw or now_ms < self._rest_until_ms.get(name, 0):
                continue
            register = self._registers[name]
            if name not in self._held and register.readable:
                return ReadBack(self._block_of(name))
            return Write(name, raw)
        return None

    def request(self, action: Action) -> Request:
        """The request of an action."""
        if isinstance(action, ReadBack):
            block = action.block
            return Request(self._unit, block.function, block.address, block.count)
        register = self._registers[action.name]
        function = register.write_function or 16
        words = encode(register, action.raw)
        return Request(self._unit, function, register.address, len(words), words)

    def done(self, action: Action, words: tuple[int, ...], now_ms: int) -> None:
        """The action was answered."""
        if isinstance(action, ReadBack):
            raw = decode_block(action.block, words).raw
            for register in action.block.registers:
                value = raw.get(register.name)
                if isinstance(value, (int, float)):
                    self._held[register.name] = self._known[register.name] = int(value)
            self._settle_tries()
        elif not action.proof:
            return
        elif self._registers[action.name].readable:
            self._held.pop(action.name, None)  # an acknowledged write proves nothing yet
            self._tried(action, now_ms)
        else:
            self._held[action.name] = self._known[action.name] = action.raw

    def failed(self, action: Action, now_ms: int) -> None:
        """The action was refused or not answered: what the device holds is not known."""
        if isinstance(action, Write):
            if not action.proof:
                return
            self._held.pop(action.name, None)
            self._tried(action, now_ms)
        else:
            for register in action.block.registers:
                self._held.pop(register.name, None)

    def _tried(self, action: Write, now_ms: int) -> None:
        self._wanted[action.name] = action.raw
        self._tries[action.name] = self._tries.get(action.name, 0) + 1
        if self._tries[action.name] >= _TRIES:
            self._rest_until_ms[action.name] = now_ms + _RETRY_MS

    def _settle_tries(self) -> None:
        for name, raw in list(self._wanted.items()):
            if self._held.get(name) == raw:
                self._tries.pop(name, None)
                self._rest_until_ms.pop(name, None)
                del self._wanted[name]

    def _block_of(self, name: str) -> Block:
        return next(block for block in self._blocks if any(r.name == name for r in block.registers))
