"""`QueryService`: one answer over the newest tick and the whole history.

An answer is the table below H, joined with the tail from the table's offsets B up to H: take the log's prefix below H,
remove dead letters, keep the first copy of each identity. A cold half that cannot be planned is an error, never an
answer from the tail alone; what is missing is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from k2core.clock import Clock
from k2core.config.settings import QuerySettings
from k2core.errors import QueryError
from k2core.interfaces.broker import Broker, Offsets
from k2core.interfaces.query import Selection, Snapshot, SourceTable
from k2core.query.answer import Answer, RowsRequest
from k2core.query.asof import settle
from k2core.query.bars import merge_bars, partial_bars
from k2core.query.cursor import Cursor, Cursors, digest, ends_of
from k2core.query.gate import Deadline, Gate
from k2core.query.gone import gone_from
from k2core.query.halves import Halves
from k2core.query.keyorder import key_of
from k2core.query.pin import Pinned, pin, split
from k2core.query.shed import shed_from
from k2core.query.symbols import count_symbols, merge_symbols
from k2core.query.tail import Tail
from k2core.query.warned import warnings_of
from k2core.records.data_type import DataType


class QueryService:
    """Answers queries, from any number of threads.

    Args:
        data_types: Those with a table.
        sources: By data type name, the cold half.
        tails: By data type name, the hot half; someone else advances them.
        broker: The log, for its ends and closed times.
        settings: Limits.
        clock: The time.
        cursors: Seals cursors with the installation's key.
    """

    def __init__(
        self,
        data_types: Sequence[DataType],
        sources: Mapping[str, SourceTable],
        tails: Mapping[str, Tail],
        broker: Broker,
        settings: QuerySettings,
        clock: Clock,
        cursors: Cursors,
    ) -> None:
        self.data_types = {d.name: d for d in data_types}
        self.sources, self.tails, self.broker = sources, tails, broker
        self.settings, self.clock = settings, clock
        self._cursors = cursors
        self._gate = Gate(settings.concurrent, settings.waiting, clock)

    def rows(self, data_type: str, request: RowsRequest) -> Answer:
        """Rows of a data type.

        Raises:
            QueryError: What is asked cannot be answered; `kind` and `status` say why.
        """
        tail, source = self._halves_of(data_type)
        limit = self._limit(request.limit)
        cursor = self._cursor(data_type, request)
        wanted = replace(self._selection(request, cursor), limit=limit + 1)
        with self._gate.turn(self.settings.timeout_s) as deadline:
            pinned, reproducible = self._pin(tail, source, request, wanted, cursor, deadline)
            halves = Halves(tail, source, pinned, deadline)
            rows = halves.rows(wanted)
        more = rows.num_rows > limit
        rows = rows.slice(0, limit)
        following = None
        if more:
            last = key_of(rows, limit - 1, tail.parts.data_type.order)
            following = self._cursors.seal(_next_cursor(data_type, pinned, wanted, request, cursor, last, reproducible))
        return _answer(halves, rows, reproducible, following, replace(wanted, limit=limit), request)

    def ohlcv(
        self,
        request: RowsRequest,
        interval_ms: int,
        *,
        data_type: str = "trades",
        price: str = "price",
        quantity: str = "quantity",
    ) -> Answer:
        """Bars of the selected rows, ordered by time; `request.limit` counts bars. Without a start, the newest.

        Args:
            request: Its symbols, exchanges, times and `as_of_us`.
            interval_ms: Length of a bar; bars start at multiples of it.
            data_type: Whose rows.
            price: Price column.
            quantity: Quantity column.

        Raises:
            QueryError: `too-many-bars`, and as `rows`.
        """
        tail, source = self._halves_of(data_type)
        wanted = self._bounded(self._selection(request, None), request.limit, interval_ms)
        self._check_bars(wanted, interval_ms)
        with self._gate.turn(self.settings.timeout_s) as deadline:
            pinned, reproducible = self._pin(tail, source, request, wanted, None, deadline)
            halves = Halves(tail, source, pinned, deadline)
            parts = split(pinned, prefer_hot=False)
            place = (tail.parts.data_type.order, "topic", "log_partition", "log_offset")
            narrow = replace(wanted, limit=None, columns=("symbol", "exchange", price, quantity, *place))
            partial = [partial_bars(halves.hot(narrow, parts), interval_ms, place[0], price, quantity)]
            if pinned.snapshot.id is not None:
                below = replace(wanted, below=parts.cold, limit=None)
                scanned = source.ohlcv(
                    pinned.snapshot, below, interval_ms, price=price, quantity=quantity, timeout=deadline.left()
                )
                partial.append(halves.scanned(scanned))
            bars = merge_bars(partial, descending=wanted.descending)
        return _answer(halves, bars.slice(0, self._bar_limit(request.limit, bars)), reproducible, None, wanted, request)

    def symbols(self, data_type: str, request: RowsRequest) -> Answer:
        """Columns symbol, exchange, rows, first_ms, last_ms.

        Raises:
            QueryError: As `rows`.
        """
        tail, source = self._halves_of(data_type)
        wanted = self._selection(request, None)
        with self._gate.turn(self.settings.timeout_s) as deadline:
            pinned, reproducible = self._pin(tail, source, request, wanted, None, deadline)
            halves = Halves(tail, source, pinned, deadline)
            parts = split(pinned, prefer_hot=False)
            order = tail.parts.data_type.order
            counted = [count_symbols(halves.hot(replace(wanted, columns=("symbol", "exchange")), parts), order)]
            if pinned.snapshot.id is not None:
                below = replace(wanted, below=parts.cold)
                counted.append(halves.scanned(source.symbols(pinned.snapshot, below, timeout=deadline.left())))
        return _answer(halves, merge_symbols(counted), reproducible, None, wanted, request)

    def snapshot(self, data_type: str) -> Snapshot:
        """The table's newest snapshot."""
        return self._halves_of(data_type)[1].newest()

    def _halves_of(self, data_type: str) -> tuple[Tail, SourceTable]:
        if data_type not in self.tails:
            known = ", ".join(sorted(self.tails))
            raise QueryError(f"there is no data type {data_type!r}; there are: {known}", kind="unknown-data-type",
                             status=404)  # fmt: skip
        return self.tails[data_type], self.sources[data_type]

    def _limit(self, asked: int | None) -> int:
        limit = self.settings.default_rows if asked is None else asked
        if not 1 <= limit <= self.settings.max_rows:
            raise QueryError(f"limit has to be between 1 and {self.settings.max_rows}, not {limit}")
        return limit

    def _bar_limit(self, asked: int | None, bars: pa.Table) -> int:
        if asked is not None and not 1 <= asked <= self.settings.max_bars:
            raise QueryError(f"limit has to be between 1 and {self.settings.max_bars}, not {asked}")
        if bars.num_rows > self.settings.max_bars:
            raise _too_many(bars.num_rows, self.settings.max_bars)
        return bars.num_rows if asked is None else asked

    def _bounded(self, wanted: Selection, limit: int | None, interval_ms: int) -> Selection:
        """Without a start: as many intervals as bars are asked for, back from the end."""
        if wanted.start_ms is not None:
            return wanted
        end_ms = self.clock.now_ms() if wanted.end_ms is None else wanted.end_ms
        first = -(-end_ms // interval_ms) - (limit or self.settings.default_rows)
        return replace(wanted, start_ms=first * interval_ms)

    def _check_bars(self, wanted: Selection, interval_ms: int) -> None:
        if wanted.start_ms is None or wanted.end_ms is None:
            return
        bars = (wanted.end_ms - wanted.start_ms) // interval_ms * max(1, len(wanted.symbols or ()))
        if bars > self.settings.max_bars:
            raise _too_many(bars, self.settings.max_bars)

    def _cursor(self, data_type: str, request: RowsRequest) -> Cursor | None:
        if request.cursor is None:
            return None
        cursor = self._cursors.open(request.cursor, data_type)
        if request.asked and digest(request.asked) != cursor.asked:
            raise QueryError(
                "the other parameters are not those that this cursor was made for: follow `next_url`, or send the"
                " cursor alone, or leave it out",
                kind="cursor-mismatch",
            )
        return cursor

    def _selection(self, request: RowsRequest, cursor: Cursor | None) -> Selection:
        asked: Any = cursor or request
        if asked.start_ms is not None and asked.end_ms is not None and asked.start_ms >= asked.end_ms:
            raise QueryError("start has to lie before end (start is inclusive, end exclusive)", kind="reversed-range")
        return Selection(
            symbols=asked.symbols, exchanges=asked.exchanges, start_ms=asked.start_ms, end_ms=asked.end_ms,
            as_of_us=asked.as_of_us, after=cursor.last if cursor else None, descending=asked.descending,
            columns=asked.columns,
        )  # fmt: skip

    def _pin(
        self,
        tail: Tail,
        source: SourceTable,
        request: RowsRequest,
        wanted: Selection,
        cursor: Cursor | None,
        deadline: Deadline,
    ) -> tuple[Pinned, bool]:
        """The pin of a query, and whether its rows are settled for ever."""
        wait_s, reproducible = self.settings.wait_s, True
        ends: Offsets | None = None
        if cursor is not None:
            ends, reproducible = cursor.pin, cursor.reproducible
        elif request.snapshot_id is not None:
            ends = source.snapshot(request.snapshot_id).offsets
        elif wanted.as_of_us is not None:
            reproducible = settle(tail, wanted.as_of_us, self.settings, self.clock, deadline)
        if request.min_offset and ends is None:
            self._await_writes(tail, request.min_offset, deadline)
        return pin(tail, source, ends, wait_s, deadline), reproducible

    def _await_writes(self, tail: Tail, offsets: Offsets, deadline: Deadline) -> None:
        left = min(self.settings.wait_s, deadline.left())
        if not tail.wait(lambda v: all(v.ends.get(p, 0) >= n for p, n in offsets.items()), left):
            raise QueryError("the log has not been read up to min_offset yet; try again", kind="behind", status=503,
                             retry_after=1)  # fmt: skip


def _next_cursor(
    data_type: str,
    pinned: Pinned,
    wanted: Selection,
    request: RowsRequest,
    cursor: Cursor | None,
    last: Any,
    reproducible: bool,
) -> Cursor:
    return Cursor(
        data_type=data_type, ends=ends_of(pinned.ends), last=last, symbols=wanted.symbols,
        exchanges=wanted.exchanges, start_ms=wanted.start_ms, end_ms=wanted.end_ms, as_of_us=wanted.as_of_us,
        descending=wanted.descending, reproducible=reproducible, columns=wanted.columns,
        asked=cursor.asked if cursor else digest(request.asked),
    )  # fmt: skip


def _answer(
    halves: Halves, rows: pa.Table, reproducible: bool, following: str | None, wanted: Selection, request: RowsRequest
) -> Answer:
    order = halves.tail.parts.data_type.order
    lacking = (*gone_from(halves.pinned, wanted, rows, order), *shed_from(halves.pinned, wanted, rows, order))
    return Answer(
        rows=rows, pin=halves.pinned.ends, snapshot_id=halves.pinned.snapshot.id, missing=(*halves.missing, *lacking),
        reproducible=reproducible, next_cursor=following, explain=halves.explain, symbols=wanted.symbols,
        warnings=warnings_of(halves, rows, request, settled=reproducible and wanted.as_of_us is not None),
    )  # fmt: skip


def _too_many(bars: int, most: int) -> QueryError:
    return QueryError(
        f"that is {bars} bars, more than {most} at once: take a longer interval, a shorter range or fewer symbols",
        kind="too-many-bars",
    )
