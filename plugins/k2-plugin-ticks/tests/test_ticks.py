"""`ticks` as a data type: its schemas follow from one declaration, and the log's records come back as rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from k2_plugin_ticks import TICKS, k2_data_types

from k2core.plugin import LogBlock, Topic, partition_of

TOPIC = Topic("fx", "ticks", "ecn").name


def test_it_is_offered() -> None:
    assert list(k2_data_types()) == [TICKS]
    assert (TICKS.table, TICKS.identity) == ("market.ticks", ("exchange", "symbol", "id_epoch", "tick_id"))


def admitted(*ticks: dict[str, Any]) -> Any:
    from k2core.admission import Admission
    from k2core.avro.codec import Codec

    plain = {"symbol": "EUR/USD", "exchange": "ecn", "exchange_timestamp_ms": 1_700_000_000_000, "tick_id": "1"}
    columns = {f.name: [{**plain, **t}.get(f.name) for t in ticks] for f in TICKS.arrow_schema}
    sizes, data = Codec(TICKS).encode(pa.RecordBatch.from_pydict(columns, schema=TICKS.arrow_schema))
    block = LogBlock(TOPIC, partition_of("EUR/USD"), 0, 1, 1_700_000_000_000_000, sizes.astype(np.uint32), data)
    return Admission(TICKS, {}).admit([block])


def test_a_tick_needs_a_price_and_nothing_else() -> None:
    found = admitted({"price": 1.1}, {"price": -0.5, "tick_id": "2"}, {"price": 0.0, "tick_id": "3", "bid_price": 1.0})
    assert found.dead == []
    assert found.rows["price"].to_pylist() == [1.1, -0.5, 0.0]
    assert found.rows["bid_price"].to_pylist() == [None, None, 1.0]


def test_no_number_is_a_dead_letter_where_it_stands() -> None:
    found = admitted(
        {"price": float("nan")}, {"price": 1.0, "quantity": -1.0}, {"price": 1.0, "ask_price": float("inf")}
    )
    assert [(d.offset, d.reason) for d in found.dead] == [(0, "bad-number"), (1, "bad-number"), (2, "bad-number")]
    assert len(found.rows) == 0
