"""The data type `ticks`: one observed price, with or without the two sides and a size behind it."""

from __future__ import annotations

from collections.abc import Iterable

from k2core.plugin import Column, DataType, hookimpl

TICKS = DataType(
    name="ticks",
    summary="one observed price each: mid, last, fixing; bid, ask and size where there are any",
    record_name="MarketTick",
    versions=1,
    columns=(
        Column("symbol", "string", doc="as the exchange spells it, as EUR/USD", words=True),
        Column("exchange", "string", doc="one market or feed, lower case", words=True),
        Column("exchange_timestamp_ms", "long", doc="the exchange's event time, Unix ms"),
        Column(
            "price", "double", doc="the price; `price_kind` says of what. May be 0 or negative (swap points, power)"
        ),
        Column("tick_id", "string", doc="the exchange's id of this tick"),
        Column("price_kind", "string", True, doc="mid, last, fixing … in the feed's own words", words=True),
        Column("bid_price", "double", True),
        Column("ask_price", "double", True),
        Column("bid_quantity", "double", True, doc="in the base currency"),
        Column("ask_quantity", "double", True, doc="in the base currency"),
        Column("quantity", "double", True, doc="traded, where the tick is a trade"),
        Column("sequence_num", "long", True, doc="the exchange's own contiguous number"),
        Column("exchange_timestamp_us", "long", True, doc="event time, Unix us"),
        Column("received_timestamp_us", "long", True, doc="receive time, Unix us"),
        Column("source", "string", True, doc="live, backfill, import or replay", words=True),
        Column(
            "timestamp_source", "string", True, doc="exchange, or received where the feed prints no time", words=True
        ),
    ),
    id_column="tick_id",
    not_negative=("bid_quantity", "ask_quantity", "quantity"),
    table="market.ticks",
)
"""Topics are `market.{asset_class}.ticks.{exchange}`, as `market.fx.ticks.ecn`."""


@hookimpl
def k2_data_types() -> Iterable[DataType]:
    """`ticks`."""
    return [TICKS]
