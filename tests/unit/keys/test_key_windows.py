"""Windows of a partition, by key space: what is held, what is forgotten, and the marks that rise."""

from __future__ import annotations

import numpy as np

from k2core.plugin import KeySpace, KeyWindows, Stream

BTC, ETH = (KeySpace(Stream("pit", symbol), "number", True) for symbol in ("BTC", "ETH"))


def longs(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_keys_of_one_space_are_not_those_of_another() -> None:
    windows = KeyWindows(10)
    windows.add(BTC, longs(1, 2), longs(5, 15), longs(1, 2))
    assert windows.has(BTC, longs(1, 2, 3)).tolist() == [True, True, False]
    assert windows.has(ETH, longs(1, 2, 3)).tolist() == [False] * 3
    assert (windows.entries, windows.oldest) == (2, 0)


def test_what_is_forgotten_is_told_by_stream_and_empty_windows_go() -> None:
    windows = KeyWindows(10)
    windows.add(BTC, longs(1, 2), longs(5, 15), longs(1, 2))
    windows.add(ETH, longs(7), longs(5), longs(7))
    assert windows.forget(1) == {BTC.stream: 1, ETH.stream: 7}
    assert windows.has(BTC, longs(1, 2)).tolist() == [False, True]
    assert (windows.entries, windows.oldest) == (1, 1)
    assert windows.forget(9) == {BTC.stream: 2}
    assert (windows.entries, windows.oldest, windows.forget(99)) == (0, None, {})
