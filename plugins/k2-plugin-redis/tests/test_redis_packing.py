"""How ids are shared out between a slot's two sets: each to one, by itself alone, so that one grows at a time."""

from __future__ import annotations

import numpy as np
import pytest
from k2_plugin_redis.packing import sets_of


@pytest.mark.parametrize("distance", [1, 2, 7, 256, 1000, 65_536])
def test_two_sets_are_as_one_to_the_root_of_two(distance: int) -> None:
    keys = np.arange(40_000, dtype=np.int64) * distance + 3_735_683_259
    found = dict(sets_of(keys))
    assert 1.3 < len(found["m"]) / len(found["m2"]) < 1.53
    assert sorted(np.concatenate([*found.values()]).tolist()) == keys.tolist()


def test_hashes_are_shared_out_too() -> None:
    keys = np.random.default_rng(7).integers(0, 256, (40_000, 16), np.uint8).view("V16").ravel()
    found = dict(sets_of(keys))
    assert 1.3 < len(found["m"]) / len(found["m2"]) < 1.53


def test_a_key_goes_to_the_same_set_whatever_comes_with_it() -> None:
    keys = np.arange(-50, 1000, dtype=np.int64)
    together = {int(key): kind for kind, part in sets_of(keys) for key in part}
    alone = {int(key): kind for one in keys for kind, part in sets_of(np.array([one])) for key in part}
    assert together == alone
    assert not list(sets_of(keys[:0]))
