"""Which sequence numbers of a stream have arrived. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SeqRanges:
    """Everything from 1 to `upto`, and inclusive `islands` above it (sorted, never touching)."""

    upto: int = 0
    islands: tuple[Range, ...] = ()

    def with_seqs(self, seqs: Iterable[int]) -> SeqRanges:
        """The set with these numbers added."""
        return self.with_ranges(_runs(sorted(set(seqs))))

    def with_ranges(self, ranges: Iterable[Range]) -> SeqRanges:
        """The set with these inclusive ranges added; numbers below 1 are ignored."""
        merged: list[Range] = [(0, self.upto)]
        added = (each for each in ranges if each[0] <= each[1])
        for first, last in sorted([*self.islands, *added]):
            if first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(merged[-1][1], last))
            else:
                merged.append((first, last))
        return SeqRanges(merged[0][1], tuple(merged[1:]))

    def missing(self, limit: int = 1000) -> list[Range]:
        """The first gaps below the highest number that has arrived."""
        edges = [self.upto, *(edge for island in self.islands for edge in island)]
        gaps = zip(edges[0::2], edges[1::2], strict=False)
        return [(below + 1, above - 1) for below, above in gaps][:limit]


def _runs(numbers: list[int]) -> list[Range]:
    runs: list[Range] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs
