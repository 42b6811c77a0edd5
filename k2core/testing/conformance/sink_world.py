"""What the suites of sinks and query sources work with: rows that follow from their position, and a writer of them.

Partition and offset decide every column of a row, so what a table must hold follows from its offsets alone.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from k2core.clock import Clock
from k2core.interfaces.broker import Offsets, Partition
from k2core.interfaces.sink import Head, LogFacts, Ownership, Sink, SinkTable, Staged
from k2core.records.builtin import TRADES
from k2core.records.data_type import DataType
from k2core.records.topics import partition_of
from k2core.testing.clock import ManualClock
from k2core.testing.conformance.facts import FactSuite

TOPIC, KRAKEN = "market.crypto.trades.binance", "market.crypto.trades.kraken"
IDS = {TOPIC: "id-1", KRAKEN: "id-2"}
NAMES = ("BTCUSDT", "ETHUSDT", "BTC/USD", "ΩMEGA", 'it\'s "X"')
SYMBOLS = {
    p: [n for n in (*NAMES, *(f"S{i}" for i in range(60))) if partition_of(n) == p][:2]
    for p in sorted({partition_of(n) for n in NAMES})
}
"""Two symbols on each of a few partitions."""
PARTS = frozenset((TOPIC, p) for p in SYMBOLS)
MIDNIGHT_MS = 1_790_035_200_000
START_MS = MIDNIGHT_MS - 20_000
FLOATS = (0.1, 1e-8, 123456789.123456, 1e15, 2 / 3, 5e-324, 1.7976931348623157e308, 97.25)
Row = dict[str, Any]


def row_at(place: Partition, offset: int) -> Row:
    """The trade at a position: three at one time, two symbols in turn, some columns null, from before midnight on."""
    topic, partition = place
    names = SYMBOLS[partition]
    number, ms = 1000 + offset // len(names), START_MS + offset // 3 * 5000
    return {
        "symbol": names[offset % len(names)], "exchange": topic.rpartition(".")[2], "exchange_timestamp_ms": ms,
        "price": FLOATS[(offset + partition) % len(FLOATS)], "quantity": FLOATS[offset % 5],
        "side": (None, "buy", "sell")[offset % 3], "trade_id": str(number), "sequence_num": number,
        "exchange_timestamp_us": None if offset % 2 else ms * 1000 + 7, "received_timestamp_us": ms * 1000 + offset,
        "source": "live" if offset % 4 else None, "exchange_date": date(1970, 1, 1) + timedelta(days=ms // 86_400_000),
        "id_epoch": 0, "topic": topic, "log_partition": partition, "log_offset": offset,
        "log_timestamp": appended_us(offset),
    }  # fmt: skip


def appended_us(offset: int) -> int:
    """Append time of an offset, on every partition."""
    return START_MS * 1000 + offset * 1_000_000


def rows_between(low: Offsets, high: Offsets) -> list[Row]:
    """The rows of every partition from one offset to below another."""
    return [row_at(p, o) for p in sorted(high) for o in range(low.get(p, 0), high[p])]


def as_table(rows: Iterable[Row], data_type: DataType = TRADES, *, plain: bool = False) -> pa.Table:
    """Rows as a sink is given them; `plain` strings instead of dictionaries. A column that a row lacks is null."""
    given, columns = list(rows), []
    for field in data_type.table_schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        made = pa.array([row.get(field.name) for row in given], kind)
        columns.append(made if plain else made.cast(field.type))
    schema = data_type.table_schema
    return pa.table(columns, names=schema.names) if plain else pa.table(columns, schema=schema)


def by_position(rows: Iterable[Row]) -> list[Row]:
    """Rows in the order of their positions."""
    return sorted(rows, key=lambda r: (r["topic"], r["log_partition"], r["log_offset"]))


class SinkFacts(FactSuite):
    """How a sink is opened, how its tables are read past it, and what is declared. A subclass gives `open` and `read`.

    Both must work on an instance made without arguments, also in another process, which loads the subclass's file by
    its path.

    Attributes:
        processes: What is committed outlives the process, and several may commit to one table.
        adds_columns: A nullable column that a table lacks is added when it is opened with a data type that has it.
        loses_replies: The subclass gives `losing_reply`.
        wait_s: The longest that a single wait for another process may take.
    """

    processes: bool = False
    adds_columns: bool = False
    loses_replies: bool = False
    wait_s: float = 60.0

    def open(self, place: Path, clock: Clock) -> Sink:
        """A sink on a place; opened twice, each is as good as another process.

        Args:
            place: An existing folder, empty at first; what has no files takes its text as a namespace.
            clock: The time; it stands still until the test moves it.
        """
        raise NotImplementedError(f"{type(self).__name__} must define open(self, place, clock) -> Sink")

    def read(self, place: Path, data_type: DataType) -> pa.Table:
        """All rows of a table, in any order, read by other means than the sink's own: another program's view."""
        raise NotImplementedError(f"{type(self).__name__} must define read(self, place, data_type) -> pyarrow.Table")

    def losing_reply(self, table: SinkTable, *, lands: bool) -> contextlib.AbstractContextManager[None]:
        """Within it, the next swap's reply is lost: the swap itself landed, or it did not."""
        raise NotImplementedError(f"{type(self).__name__} declares loses_replies = True and must define losing_reply")

    @staticmethod
    def clock() -> ManualClock:
        """The clock that a test moves; it stands a little behind the rows' append times."""
        return ManualClock((START_MS + 60_000) * 1_000_000)

    def stored_rows(self, place: Path, data_type: DataType = TRADES) -> list[Row]:
        """What `read` gives, as plain values in the order of positions."""
        found = self.read(place, data_type)
        missing = set(data_type.table_schema.names) - set(found.column_names)
        assert not missing, f"read gave no columns {sorted(missing)}"
        return by_position(found.select(data_type.table_schema.names).to_pylist())

    def check_holds(self, place: Path, offsets: Offsets) -> None:
        """The table holds exactly the rows below these offsets, field for field."""
        got, want = self.stored_rows(place), by_position(rows_between({}, offsets))
        positions = [(r["topic"], r["log_partition"], r["log_offset"]) for r in got]
        assert positions == [(r["topic"], r["log_partition"], r["log_offset"]) for r in want]
        for mine, its in zip(got, want, strict=True):
            assert mine == its

    @contextlib.contextmanager
    def hand(self, place: Path, owner: str = "one", parts: frozenset[Partition] = PARTS, **more: Any) -> Iterator[Hand]:
        """A writer that has taken partitions over, in an opening of its own."""
        place.mkdir(parents=True, exist_ok=True)
        with self.open(place, more.pop("clock", None) or self.clock()) as sink:
            assert isinstance(sink, Sink), f"open made a {type(sink).__name__}, not a Sink"
            yield Hand(sink.table(more.pop("data_type", TRADES)), owner, parts)

    def head(self, place: Path) -> Head:
        """The head as somebody else sees it."""
        with self.open(place, self.clock()) as sink:
            return sink.table(TRADES).head()

    @contextlib.contextmanager
    def writing(self, place: Path, parts: frozenset[Partition] = PARTS) -> Iterator[subprocess.Popen[str]]:
        """Another process that takes over and commits without end, and prints a line for each commit."""
        order = {
            "file": inspect.getfile(type(self)), "suite": type(self).__qualname__, "place": str(place),
            "path": [*sys.path, os.getcwd()], "parts": sorted(parts),
        }  # fmt: skip
        code = "from k2core.testing.conformance.sink_child import main; main()"
        child = subprocess.Popen(  # noqa: S603 - this very Python
            [sys.executable, "-c", code, json.dumps(order)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            yield child
        finally:
            child.kill()
            child.communicate()


class Hand:
    """A writer's hold on a table.

    Attributes:
        table: The sink's.
        owned: Proof of the takeover.
        at: Next offset per owned partition, as far as this writer knows.
    """

    def __init__(self, table: SinkTable, owner: str, parts: frozenset[Partition]) -> None:
        self.table, self.parts = table, parts
        self.owned: Ownership = table.take_over(parts, {t: IDS[t] for t, _ in parts}, owner)
        there = table.head().offsets
        self.at: dict[Partition, int] = {p: there.get(p, 0) for p in sorted(parts)}

    def ahead(self, count: int, start: Mapping[Partition, int] | None = None) -> dict[Partition, int]:
        """The offsets after `count` more records on each partition."""
        return {p: o + count for p, o in (start or self.at).items()}

    def stage(self, count: int) -> tuple[Staged, dict[Partition, int]]:
        """Stage the next rows; with the offsets that their commit is to have."""
        to = self.ahead(count)
        return self.table.stage(as_table(rows_between(self.at, to))), to

    def commit(self, staged: Staged, to: Offsets, facts: LogFacts | None = None) -> Head:
        """Commit from where this writer stands; it moves on only if that lands."""
        head = self.table.commit(staged, self.owned, dict(self.at), dict(to), facts)
        self.at.update(to)
        return head

    def write(self, count: int) -> Head:
        """Stage and commit the next rows."""
        return self.commit(*self.stage(count))
