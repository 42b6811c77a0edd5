"""The sorted sets, against Python's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2core.keys.index import Index, Intervals, Points

BATCHES = st.lists(st.sets(st.integers(0, 60), min_size=1, max_size=20), min_size=1, max_size=12)


@pytest.mark.parametrize("make", [Intervals, Points])
@given(batches=BATCHES)
def test_against_a_set(make: type[Index], batches: list[set[int]]) -> None:
    index, held = make(), set()
    for keys in batches:
        fresh = sorted(keys - held)
        if fresh:
            index.add(np.array(fresh, np.int64))
        held |= keys
        asked = np.arange(-1, 63)
        assert asked[index.has(asked)].tolist() == sorted(held)


@given(batches=BATCHES)
def test_intervals_are_as_few_as_can_be(batches: list[set[int]]) -> None:
    index, held = Intervals(), set()
    for keys in batches:
        index.add(np.array(sorted(keys), np.int64))
        held |= keys
    assert len(index) == sum(1 for k in held if k - 1 not in held)


def test_hashes_are_keys_too() -> None:
    index = Points()
    index.add(np.sort(np.array([b"b" * 16, b"a" * 15 + b"\0"], "S16")))
    asked = np.array([b"a" * 15 + b"\0", b"a" * 16, b"b" * 16], "S16")
    assert index.has(asked).tolist() == [True, False, True]
