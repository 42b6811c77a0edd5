"""Hybrid queries on a fragmented day, ours and bare: 1 M rows in 960 files and 50,000 in the tail."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable
from typing import Any

from benchmarks import tape
from benchmarks.measure import Row, percentiles
from benchmarks.references.capture import BareLog
from benchmarks.references.queries import BareHybrid
from benchmarks.references.table import BareTable, decode
from benchmarks.rig import NOW_NS, Rig
from k2core.query.answer import RowsRequest

SYMBOL = "BTCUSDT"
COMMITS = 60


def hybrid(work: pathlib.Path, rows: int, hot: int) -> list[Row]:
    """Newest rows, a range, bars."""
    frames = tape.frames(rows + hot)
    cold, tail = tape.cut(frames[:rows], 1000), tape.cut(frames[rows:], 1000)
    bare = _bare(work, cold, tail, rows)
    rig = Rig(work / "rig")
    for group in cold:
        rig.capture(group)
    pipeline = rig.pipeline(-(-rows // COMMITS))
    rig.drain(pipeline, rows, -(-rows // COMMITS))
    for group in tail:
        rig.capture(group)
    with rig.service() as service:
        return list(_measured(service, bare, rig))


def _bare(work: pathlib.Path, cold: list[list[bytes]], tail: list[list[bytes]], rows: int) -> BareHybrid:
    log, table = BareLog(work / "bare.db"), BareTable(work / "bare")
    for group in [*cold, *tail]:
        log.capture(group, NOW_NS // 1000)
    after, done = 0, 0
    while done < rows:
        after, blocks = log.read(after, min(-(-rows // COMMITS), rows - done))
        done += sum(count for _, _, count, _ in blocks)
        table.write(decode(blocks))
    _, blocks = log.read(after, 1 << 40)
    recent = decode(blocks)
    mine = recent.filter(_is(recent, SYMBOL)).sort_by("sequence_num")
    return BareHybrid(table, mine.select(recent.column_names), SYMBOL)


def _is(table: Any, symbol: str) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.equal(table["symbol"].cast(pa.string()), symbol)


def _measured(service: Any, bare: BareHybrid, rig: Rig) -> Any:
    newest = bare.tail["exchange_timestamp_ms"][-1].as_py()
    start, end = newest - 43_200_000, newest - 43_200_000 + 900_000
    # 100 rows of which the tail has 40 while the rest is cold: asked as of the place of the 40th newest tail row.
    edge = bare.tail["exchange_timestamp_ms"][39].as_py()
    ours: dict[str, tuple[Callable[[], Any], Callable[[], Any], float, float]] = {
        "newest 100 of a symbol, across table and tail": (
            lambda: service.rows("trades", RowsRequest(symbols=(SYMBOL,), end_ms=edge + 1, limit=100)),
            lambda: bare.newest(100, 40), 2.5, 8,
        ),
        "15 minutes of a symbol": (
            lambda: service.rows("trades", RowsRequest(symbols=(SYMBOL,), start_ms=start, end_ms=end, limit=100_000)),
            lambda: bare.minutes(start, end), 0, 8,
        ),
        "a day of 1-minute OHLCV": (
            lambda: service.ohlcv(RowsRequest(symbols=(SYMBOL,), start_ms=newest - 86_400_000, limit=2000), 60_000),
            bare.bars, 0, 25,
        ),
    }  # fmt: skip
    for label, (call, reference, ratio_must, limit_ms) in ours.items():
        with contextlib.suppress(StopIteration):
            call()
        reference()
        p50, p99 = percentiles(call, 60)
        bare_p50, _ = percentiles(reference, 60)
        ratio = p50 / bare_p50
        holds = p50 <= limit_ms and (not ratio_must or ratio <= ratio_must)
        must = (f"≤ {ratio_must} ×, " if ratio_must else "") + f"p50 ≤ {limit_ms}"
        yield Row(label, p50, "ms", bare_p50, ratio, must, holds, {"p99": p99})
