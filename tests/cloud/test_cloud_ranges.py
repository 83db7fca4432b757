"""The sequence ranges agree with a plain set of numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from baywatt_cloud.ingest.ranges import SeqRanges

batches = st.lists(st.sets(st.integers(1, 60)), max_size=12)


@given(batches)
def test_it_is_the_set_of_what_arrived(arrived: list[set[int]]) -> None:
    ranges, model = SeqRanges(), set[int]()
    for batch in arrived:
        ranges, model = ranges.with_seqs(batch), model | batch
    contiguous = 0
    while contiguous + 1 in model:
        contiguous += 1
    assert ranges.upto == contiguous
    missing = {n for first, last in ranges.missing() for n in range(first, last + 1)}
    assert missing == set(range(1, max(model, default=0))) - model
    above = {n for first, last in ranges.islands for n in range(first, last + 1)}
    assert above == {n for n in model if n > contiguous}


@given(batches, st.randoms())
def test_order_of_arrival_does_not_matter(arrived: list[set[int]], random: object) -> None:
    shuffled = list(arrived)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = SeqRanges(), SeqRanges()
    for batch in arrived:
        one = one.with_seqs(batch)
    for batch in shuffled:
        other = other.with_seqs(batch)
    assert one == other


def test_missing_is_bounded() -> None:
    ranges = SeqRanges().with_seqs(range(2, 100, 2))
    assert ranges.missing(3) == [(1, 1), (3, 3), (5, 5)]


def test_a_dropped_range_counts_as_arrived() -> None:
    assert SeqRanges(3).with_ranges([(4, 1000), (9, 2)]) == SeqRanges(1000)
