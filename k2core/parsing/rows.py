"""Rows of a parser's records to columns: `Trade` and `Quote` through `built`, `Row` by its data type's declaration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from k2core.errors import PluginError
from k2core.parsing import columns
from k2core.parsing.fields import Built, QuoteColumns, TradeColumns, quote_records, trade_records
from k2core.parsing.numbers import Int64s, number_refusal
from k2core.parsing.refusals import PARSER_ERROR, Refusal
from k2core.parsing.shapes import Quote, Row, Trade
from k2core.records.builtin import BUILTIN_DATA_TYPES
from k2core.records.data_type import Column, DataType

if TYPE_CHECKING:
    from k2core.parsing.parser import FrameParser

Refused = dict[int, Refusal]


def built_by_type(
    parser: FrameParser, received_ns: Sequence[int], rows: Mapping[type, list[Any]], places: Mapping[type, list[int]]
) -> tuple[dict[str, pa.RecordBatch], Refused]:
    """Record batches by data type, and the frames that hold a bad row: those have to be left out of all of them.

    Args:
        parser: Whose rows they are.
        received_ns: Of each frame.
        rows: By class.
        places: Frame of each row.
    """
    received = np.fromiter(received_ns, np.int64, len(received_ns))
    records: dict[str, pa.RecordBatch] = {}
    refused: Refused = {}
    for name, data_type, group, where in _groups(parser, rows, places):
        built = _built(parser.exchange, data_type, group, received[where])  # a frame may give several rows
        for row, why in built.refused:
            refused.setdefault(where[row], why)
        if built.records is not None:
            records[name] = built.records
    return records, refused


def shape_refusal(data_type: object, values: object) -> Refusal | None:
    """Why what a `Row` was made of is no row at all, or None: it takes whatever its author gives."""
    if not isinstance(data_type, str | DataType):
        return Refusal(PARSER_ERROR, f"Row needs a data type or its name, not {data_type!r:.40}")
    if not isinstance(values, Mapping):
        return Refusal(PARSER_ERROR, f"Row needs values by column name, not {values!r:.40}")
    return None


def _groups(
    parser: FrameParser, rows: Mapping[type, list[Any]], places: Mapping[type, list[int]]
) -> list[tuple[str, DataType | None, list[Any], list[int]]]:
    """Name, data type (None: trades or quotes in their own shape), rows and their places."""
    found: list[tuple[str, DataType | None, list[Any], list[int]]] = [
        (name, None, rows[kind], places[kind])
        for kind, name in ((Trade, "trades"), (Quote, "quotes"))
        if rows.get(kind)
    ]
    known = {one.name: one for one in (*BUILTIN_DATA_TYPES, *parser.data_types)}
    by_name: dict[str, tuple[DataType | None, list[Any], list[int]]] = {}
    for row, place in zip(rows.get(Row, ()), places.get(Row, ()), strict=True):
        name = row.data_type if isinstance(row.data_type, str) else row.data_type.name
        data_type = row.data_type if isinstance(row.data_type, DataType) else known.get(name)
        if data_type is None:
            raise PluginError(
                f"Row({name!r}, …): give the DataType itself, or list it in {type(parser).__name__}.data_types"
            )
        if any(name == one[0] for one in found):
            raise PluginError(f"{type(parser).__name__} gives {name} in two shapes, as Row and as its own: use one")
        _, group, where = by_name.setdefault(name, (data_type, [], []))
        group.append(row)
        where.append(place)
    return [*found, *((name, *rest) for name, rest in by_name.items())]


def _built(exchange: str, data_type: DataType | None, rows: list[Any], received_ns: Int64s) -> Built:
    if data_type is not None:
        return _row_records(exchange, data_type, [row.values for row in rows], received_ns)
    if type(rows[0]) is Trade:
        return _trades(exchange, rows, received_ns)
    return _quotes(exchange, rows, received_ns)


def _trades(exchange: str, rows: list[Trade], received_ns: Int64s) -> Built:
    sequence = [row.sequence_num for row in rows]
    given = TradeColumns(
        symbols=[row.symbol for row in rows],
        prices=[row.price for row in rows],
        quantities=[row.quantity for row in rows],
        sides=[row.side for row in rows],
        ids=[row.trade_id for row in rows],
        times=[row.time_us for row in rows],
        received_ns=received_ns,
        sequence=sequence if any(number is not None for number in sequence) else None,
    )
    return trade_records(exchange, given)


def _quotes(exchange: str, rows: list[Quote], received_ns: Int64s) -> Built:
    times, sequence = [row.time_us for row in rows], [row.sequence_num for row in rows]
    given = QuoteColumns(
        symbols=[row.symbol for row in rows],
        bid_prices=[row.bid_price for row in rows],
        bid_quantities=[row.bid_quantity for row in rows],
        ask_prices=[row.ask_price for row in rows],
        ask_quantities=[row.ask_quantity for row in rows],
        ids=[row.update_id for row in rows],
        received_ns=received_ns,
        times=times if any(time is not None for time in times) else None,
        sequence=sequence if any(number is not None for number in sequence) else None,
    )
    return quote_records(exchange, given)


def _row_records(exchange: str, data_type: DataType, values: list[Mapping[str, Any]], received_ns: Int64s) -> Built:
    """Rows of any data type: looked at value by value, for only its declaration is known."""
    filled = [_filled(exchange, data_type, one, ns) for one, ns in zip(values, received_ns.tolist(), strict=True)]
    found = [_row_refusal(data_type, row) for row in filled]
    sound = [row for row, why in zip(filled, found, strict=True) if why is None]
    refused = [(number, why) for number, why in enumerate(found) if why is not None]
    if not sound:
        return Built(None, refused)
    arrays = [_array(column, [row.get(column.name) for row in sound]) for column in data_type.columns]
    return Built(pa.RecordBatch.from_arrays(arrays, schema=data_type.arrow_schema), refused)


def _filled(exchange: str, data_type: DataType, values: Mapping[str, Any], received_ns: int) -> dict[str, Any]:
    row: dict[str, Any] = {"exchange": exchange, "source": "live", "received_timestamp_us": received_ns // 1000}
    row = {name: value for name, value in row.items() if any(c.name == name for c in data_type.columns)} | dict(values)
    if "exchange_timestamp_ms" not in row and isinstance(row.get("exchange_timestamp_us"), int):
        row["exchange_timestamp_ms"] = row["exchange_timestamp_us"] // 1000
    return row


def _row_refusal(data_type: DataType, row: Mapping[str, Any]) -> Refusal | None:
    if unknown := row.keys() - {column.name for column in data_type.columns}:
        return Refusal(PARSER_ERROR, f"{data_type.name} has no column {min(unknown, key=str)}")
    for column in data_type.columns:
        value = row.get(column.name)
        if value is None:
            if not column.nullable:
                return Refusal("missing-field", f"{data_type.name} needs {column.name}")
        elif why := _value_refusal(data_type, column, value):
            return why
    time = row.get("exchange_timestamp_us")
    return columns.time_refusal(time) if time is not None else None


def _value_refusal(data_type: DataType, column: Column, value: object) -> Refusal | None:
    name = column.name
    if column.kind == "double":
        negative = name not in (*data_type.positive, *data_type.not_negative)
        return number_refusal(name, value, zero=name not in data_type.positive, negative=negative)
    if column.kind == "long":
        return columns.long_refusal(name, value, -(1 << 63))
    if name == "symbol":
        return columns.symbol_refusal(value)
    if name == "side":
        return columns.side_refusal(value)
    if name == data_type.id_column:
        return columns.id_refusal(name, value)
    wanted = bytes if column.kind == "bytes" else str
    if not isinstance(value, wanted) or (isinstance(value, str) and not _is_unicode(value)):
        return Refusal("wrong-type", f"{name} must be {column.kind}, not {value!r:.40}")
    return None


def _is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold a text: `json` lets halves of characters through."""
    return text.isascii() or text.encode(errors="replace").decode() == text


def _array(column: Column, values: list[Any]) -> pa.Array[Any]:
    if column.kind == "double":
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    if column.kind == "long":
        return pa.array(values, pa.int64())
    if column.kind == "bytes":
        return pa.array(values, pa.binary())
    texts = pa.array([None if value is None else str(value) for value in values], pa.string())
    return texts.dictionary_encode() if column.words else texts
