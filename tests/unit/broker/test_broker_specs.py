"""Topics of data types, and batches put in order of their partitions."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2core.broker.specs import by_partition, topic_spec
from k2core.errors import SchemaError
from k2core.interfaces.broker import EncodedBatch
from k2core.records.builtin import TRADES
from k2core.records.topics import Topic


def test_a_topic_holds_the_whole_lineage_as_canonical_json() -> None:
    spec = topic_spec(Topic("crypto", "trades", "binance"), TRADES)
    assert (spec.name, spec.partitions) == ("market.crypto.trades.binance", 16)
    assert spec.subject == "market.crypto.trades.binance-value"
    assert [json.loads(text) for text in spec.schemas] == [TRADES.avro_schema(v) for v in (1, 2, 3)]
    assert all(json.dumps(json.loads(t), sort_keys=True, separators=(",", ":")) == t for t in spec.schemas)
    assert topic_spec(Topic("fx", "trades", "x"), TRADES, 3).partitions == 3


@given(st.lists(st.tuples(st.integers(0, 6), st.binary(max_size=9)), max_size=60))
def test_splitting_keeps_every_record_and_the_order_within_a_partition(records: list[tuple[int, bytes]]) -> None:
    parts = np.array([p for p, _ in records], np.int32)
    sizes = np.array([len(d) for _, d in records], np.uint32)
    split = by_partition(EncodedBatch("t", 1, parts, sizes, b"".join(d for _, d in records)), 7)
    want = sorted(records, key=lambda record: record[0])
    assert split.counts.tolist() == [sum(p == n for p, _ in records) for n in range(7)]
    assert split.sizes.tolist() == [len(d) for _, d in want]
    assert split.data == b"".join(d for _, d in want)


@pytest.mark.parametrize(
    ("parts", "sizes", "data"),
    [([0, 1], [1], b"x"), ([0], [2], b"x"), ([3], [1], b"x"), ([-1], [1], b"x"), ([], [], b"x")],
)
def test_a_batch_that_contradicts_itself_is_refused(parts: list[int], sizes: list[int], data: bytes) -> None:
    with pytest.raises(SchemaError, match=r"batch for t"):
        by_partition(EncodedBatch("t", 1, np.array(parts, np.int32), np.array(sizes, np.uint32), data), 3)
