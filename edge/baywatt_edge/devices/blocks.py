"""Coalescing registers into few block reads, within what a device tolerates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from baywatt_edge.devices.profile import Modbus
from baywatt_edge.devices.register import Register


@dataclass(frozen=True, slots=True)
class Block:
    """One read: `count` registers (bits for functions 1 and 2) from `address`."""

    function: int
    address: int
    count: int
    registers: tuple[Register, ...]

    def words_of(self, register: Register, words: Sequence[int]) -> Sequence[int]:
        """The part of the block's answer that belongs to `register`."""
        start = register.address - self.address
        return words[start : start + register.width]


def compile_blocks(registers: Iterable[Register], modbus: Modbus) -> tuple[Block, ...]:
    """The fewest reads in address order that cover all registers, none across a poisonous one.

    A register is never split over two blocks, so its words always stem from one answer.
    """
    blocks: list[Block] = []
    for each in sorted(registers, key=lambda r: (r.function, r.address, r.width)):
        grown = _grown(blocks[-1], each, modbus) if blocks else None
        if grown is None:
            blocks.append(Block(each.function, each.address, each.width, (each,)))
        else:
            blocks[-1] = grown
    return tuple(blocks)


def _grown(block: Block, register: Register, modbus: Modbus) -> Block | None:
    end = block.address + block.count
    new_end = max(end, register.address + register.width)
    count = new_end - block.address
    if (
        register.function != block.function
        or count > modbus.max_registers
        or register.address - end > modbus.max_gap
        or any(first < new_end and last >= end for first, last in modbus.poisonous)
    ):
        return None
    return Block(block.function, block.address, count, (*block.registers, register))
