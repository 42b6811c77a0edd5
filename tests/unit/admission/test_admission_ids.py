"""Ids as numbers: canonical decimals only, vectorised or not."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2core.admission.identities import Ids
from k2core.interfaces.identities import number_of


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0), ("7", 7), ("9223372036854775807", 2**63 - 1), ("9223372036854775808", None), ("", None),
        ("-1", None), ("+1", None), ("01", None), ("00", None), (" 1", None), ("1_0", None), ("٣", None), ("1.0", None),
        ("99999999999999999999", None), ("²", None),
    ],
)  # fmt: skip
def test_what_counts_as_a_number(text: str, number: int | None) -> None:
    assert number_of(text) == number
    ids = Ids(pa.array([text])).of(0, 1)
    assert ids.tolist() == [text if number is None else number]
    assert (ids.dtype.kind == "i") == (number is not None)


@given(st.lists(st.one_of(st.integers(0, 2**63 - 1).map(str), st.sampled_from(["0", "00", "x", "9" * 19])), max_size=8))
def test_a_slice_is_numeric_if_all_of_it_is(texts: list[str]) -> None:
    ids = Ids(pa.array(["z", *texts, "z"], pa.string()).slice(1, len(texts)))
    for start in range(len(texts)):
        part = ids.of(start, len(texts))
        assert [str(i) for i in part.tolist()] == texts[start:]
        assert (part.dtype.kind == "i") == all(number_of(t) is not None for t in texts[start:])
