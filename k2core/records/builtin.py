"""The data types that come with k2: trades and quotes; dead letters and levels, which live in the log alone."""

from __future__ import annotations

from k2core.records.data_type import Column, DataType

_HEAD = (
    Column("symbol", "string", doc="as the exchange spells it", words=True),
    Column("exchange", "string", doc="one market, lower case", words=True),
    Column("exchange_timestamp_ms", "long", doc="the exchange's event time, Unix ms"),
)


def _further(since: int) -> tuple[Column, ...]:
    return (
        Column("sequence_num", "long", True, since, "the exchange's own contiguous number"),
        Column("exchange_timestamp_us", "long", True, since, "event time, Unix us"),
        Column("received_timestamp_us", "long", True, since, "receive time, Unix us"),
        Column("source", "string", True, since, "live, backfill, import or replay", words=True),
    )


TRADES = DataType(
    name="trades",
    summary="one execution each: price, quantity and the aggressor's side",
    record_name="MarketData",
    versions=3,
    columns=(
        *_HEAD,
        Column("price", "double"),
        Column("quantity", "double"),
        Column("side", "string", True, 2, "the aggressor's: buy or sell", words=True),
        Column("trade_id", "string", True, 3, "the exchange's trade id"),
        *_further(3),
    ),
    id_column="trade_id",
    positive=("price", "quantity"),
    table="market.trades",
)

QUOTES = DataType(
    name="quotes",
    summary="best bid and ask",
    record_name="MarketQuote",
    versions=1,
    columns=(
        *_HEAD,
        Column("bid_price", "double"),
        Column("bid_quantity", "double"),
        Column("ask_price", "double"),
        Column("ask_quantity", "double"),
        Column("update_id", "string", doc="the exchange's id of this book state"),
        *_further(1),
        Column(
            "timestamp_source", "string", True, 1, "exchange, or received where the feed prints no time", words=True
        ),
    ),
    id_column="update_id",
    not_negative=("bid_price", "bid_quantity", "ask_price", "ask_quantity"),
    table="market.quotes",
)

DEAD_LETTERS = DataType(
    name="dead_letters",
    summary="what could not become a record, with reason and bytes",
    record_name="DeadLetter",
    versions=1,
    columns=(
        Column("symbol", "string", doc="partition key; empty where unknown"),
        Column("exchange", "string"),
        Column("exchange_timestamp_ms", "long", doc="when it was refused, Unix ms"),
        Column("reason", "string", doc="stable slug, as bad-number"),
        Column("detail", "string", doc="what was wrong, in a sentence"),
        Column("stage", "string", doc="normalize (a frame) or admit (a record in the log)"),
        Column("origin", "string", doc="connection/frame number, or topic/partition/offset: the source position"),
        Column("payload", "bytes", doc="the frame or the record's datum, cut at the size limit"),
    ),
)

LEVELS = DataType(
    name="levels",
    summary="how much writers give up under load, as each level is entered",
    record_name="DegradationLevel",
    versions=1,
    columns=(
        Column("symbol", "string", doc="partition key: the table's name"),
        Column("exchange", "string", doc="always k2: this is no market's topic"),
        Column("exchange_timestamp_ms", "long", doc="when it was told, Unix ms"),
        Column("writer", "string", doc="who tells it: host:pid"),
        Column("level", "string", doc="NORMAL, SOFT, GRACEFUL, AGGRESSIVE or CIRCUIT_BREAK"),
        Column("previous", "string", doc="the level before; the same where it lasts"),
        Column("cause", "string", doc="lag or memory"),
        Column("lag_records", "long", doc="records behind, at that moment"),
        Column("memory_ratio", "double", doc="resident memory of its limit, at that moment"),
    ),
)

BUILTIN_DATA_TYPES: tuple[DataType, ...] = (TRADES, QUOTES, DEAD_LETTERS, LEVELS)
