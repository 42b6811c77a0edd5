"""SQL texts over listed Parquet files: templates, bound values, quoted paths and column names. Nothing else gets in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from k2_plugin_iceberg.pool import quoted
from k2_plugin_iceberg.prune import Chosen
from k2_plugin_iceberg.sums import Sums
from k2core.plugin import DataType, Selection

PLACE = ("topic", "log_partition", "log_offset")
OFFSETS = 1 << 63
"""One more than the largest offset: a time and an offset make one sortable number, time * OFFSETS + offset."""
_CELLS = (
    "min(place) AS first, max(place) AS last, arg_min(price, place) AS open, arg_max(price, place) AS close,"
    " max(price) AS high, min(price) AS low, count(*) AS trades"
)
_CONSTANT = ("symbol", "exchange", "topic", "log_partition")


class Query:
    """A statement while it is being put together.

    Args:
        chosen: Files to read, and what to test.
        wanted: The selection.
        data_type: Whose rows.
        by_name: Whether files may lack columns that others have.
    """

    def __init__(self, chosen: Chosen, wanted: Selection, data_type: DataType, *, by_name: bool = False) -> None:
        self.values: list[Any] = []
        self._order, self._by_name = column(data_type.order), by_name
        self._chosen, self._wanted = chosen, wanted
        self.constants = constants(chosen)

    def rows(self, names: Sequence[str]) -> str:
        """Selected rows, ordered and cut where the selection has a limit; constant columns are left out."""
        listed = ", ".join(column(n) for n in names if n not in self.constants) or "1"
        text = f"SELECT {listed} FROM {self._source()}"  # noqa: S608
        if self._wanted.limit is not None:
            way = "DESC" if self._wanted.descending else "ASC"
            key = [self._order, *(column(n) for n in PLACE if n not in self.constants)]
            text += f" ORDER BY {', '.join(f'{k} {way}' for k in key)} LIMIT {int(self._wanted.limit)}"
        return text

    def bars(self, interval_ms: int, price: str, quantity: str, sums: Sums) -> str:
        """Partial bars; constant columns are left out, and other columns of the key part bars."""
        parts = [n for n in _CONSTANT if n not in self.constants]
        unit, base, kind = self._unit(interval_ms)
        step = self._bind(interval_ms)
        bar = (
            f"ms - ms % {step}" if int(self._chosen.files.ms_lo.min()) >= 0 else f"ms - (ms % {step} + {step}) % {step}"
        )
        read = f"{self._order} AS ms, log_offset, {column(price)} AS price, {column(quantity)} AS quantity"
        rows = f"SELECT {self._list(parts)}{read} FROM {self._source()}"  # noqa: S608
        place = f"(ms - bar_ms)::{kind} * {unit} + (log_offset - {base}) AS place"
        placed = f"SELECT {self._list(parts)}{bar} AS bar_ms, price, quantity, {place} FROM ({rows})"  # noqa: S608
        groups = ", ".join([*(column(n) for n in parts), "bar_ms"])
        bars = f"SELECT {groups}, {_CELLS}, {sums.cells} FROM ({sums.cut(placed)}) GROUP BY {groups}"  # noqa: S608
        ends = ", ".join(
            f"bar_ms + ({end} // {unit})::BIGINT AS {end}_ms, ({end} % {unit})::BIGINT + {base} AS {end}_offset"
            for end in ("first", "last")
        )
        return f"SELECT * EXCLUDE (first, last), {ends} FROM ({bars})"  # noqa: S608

    def _unit(self, interval_ms: int) -> tuple[int, int, str]:
        """How time within a bar and offset become one number: (unit of time, least offset, type that holds it)."""
        files = self._chosen.files
        base, top = int(files.offset_lo.min()), int(files.offset_hi.max())
        if base >= 0 and (top - base + 1) * interval_ms < 1 << 62:
            return top - base + 1, base, "BIGINT"
        return OFFSETS, 0, "HUGEINT"

    def symbols(self) -> str:
        """Rows, first and last event time per symbol and exchange; constant columns are left out."""
        parts = [n for n in _CONSTANT[:2] if n not in self.constants]
        cells = f"count(*) AS rows, min({self._order}) AS first_ms, max({self._order}) AS last_ms"
        text = f"SELECT {self._list(parts)}{cells} FROM {self._source()}"  # noqa: S608
        return f"{text} GROUP BY {', '.join(column(n) for n in parts)}" if parts else f"{text} HAVING count(*) > 0"

    def columns(self) -> str:
        """Names of all columns in the files, one column `name`."""
        return f"SELECT DISTINCT name FROM parquet_schema([{self._files()}])"  # noqa: S608

    def _files(self) -> str:
        return ", ".join(quoted(p) for p in self._chosen.files.path)

    @staticmethod
    def _list(names: Iterable[str]) -> str:
        return "".join(f"{column(n)}, " for n in names)

    def _source(self) -> str:
        options = f"hive_partitioning = false, union_by_name = {str(self._by_name).lower()}"
        tests = list(self._tests())
        where = f" WHERE {' AND '.join(tests)}" if tests else ""
        return f"read_parquet([{self._files()}], {options}){where}"

    def _tests(self) -> Iterable[str]:
        wanted, chosen = self._wanted, self._chosen
        if chosen.symbols is not None and not self._all_of(self.constants.get("symbol")):
            yield self._among("symbol", chosen.symbols)
        if wanted.exchanges is not None and self.constants.get("exchange") not in wanted.exchanges:
            yield self._among("exchange", wanted.exchanges)
        if wanted.start_ms is not None:
            yield f"{self._order} >= {self._bind(wanted.start_ms)}"
        if wanted.end_ms is not None:
            yield f"{self._order} < {self._bind(wanted.end_ms)}"
        if chosen.appended:
            yield f"log_timestamp <= {self._bind(wanted.as_of_us)}"
        if chosen.positions:
            yield self._below()
        if wanted.after is not None:
            yield self._beyond()

    def _all_of(self, symbol: Any) -> bool:
        """Whether the files hold this symbol alone, and it is wanted."""
        if symbol is None or symbol not in (self._chosen.symbols or ()):
            return False
        files = self._chosen.files
        return bool((files.symbol_lo == symbol).all() and (files.symbol_hi == symbol).all())

    def _among(self, name: str, words: Sequence[str]) -> str:
        if len(words) == 1:
            return f"{column(name)} = {self._bind(words[0])}"
        if len(words) <= 32:
            return f"{column(name)} IN ({', '.join(self._bind(w) for w in words)})"
        return f"{column(name)} IN (SELECT unnest({self._bind(list(words))}::VARCHAR[]))"

    def _below(self) -> str:
        """Positions below the wanted offsets: one test for each topic and partition that the files may hold."""
        files = self._chosen.files
        low, high = int(files.partition_lo.min()), int(files.partition_hi.max())
        tests = [
            f"(topic = {self._bind(topic)} AND log_partition = {partition:d} AND log_offset < {self._bind(offset)})"
            for (topic, partition), offset in sorted(self._wanted.below.items())
            if offset > 0 and low <= partition <= high
        ]
        return f"({' OR '.join(tests)})" if tests else "false"

    def _beyond(self) -> str:
        """Strictly beyond the key, in the direction of the answer."""
        assert self._wanted.after is not None
        sign = "<" if self._wanted.descending else ">"
        names = [self._order, *PLACE]
        bound = [self._bind(v) for v in self._wanted.after]
        text = f"{names[3]} {sign} {bound[3]}"
        for name, value in reversed(list(zip(names[1:3], bound[1:3], strict=True))):
            text = f"({name} {sign} {value} OR ({name} = {value} AND {text}))"
        return f"({names[0]} {sign}= {bound[0]} AND ({names[0]} {sign} {bound[0]} OR {text}))"

    def _bind(self, value: Any) -> str:
        self.values.append(value)
        return f"${len(self.values)}"


def column(name: str) -> str:
    """A column's name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def constants(chosen: Chosen) -> dict[str, Any]:
    """Columns that have one value in all wanted rows of the chosen files."""
    files, found = chosen.files, {}
    pairs: dict[str, tuple[Any, Any]] = {
        "symbol": (files.symbol_lo, files.symbol_hi),
        "exchange": (files.exchange_lo, files.exchange_hi),
        "topic": (files.topic_lo, files.topic_hi),
        "log_partition": (files.partition_lo, files.partition_hi),
    }
    for name, (low, high) in pairs.items():
        if len(files) and np.all(low == high) and np.all(low == low[0]):
            found[name] = low[0]
    if chosen.symbols is not None and len(chosen.symbols) == 1:
        found["symbol"] = chosen.symbols[0]
    return found
