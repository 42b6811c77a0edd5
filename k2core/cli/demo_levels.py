"""What `k2 demo degradation` sees of a writer's levels, on the control topic, and the proof that its table is whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from k2core.avro.codec import Codec
from k2core.cli.demo_proof import open_catalog
from k2core.degradation.events import LEVELS_TOPIC
from k2core.degradation.levels import Level
from k2core.records.builtin import LEVELS, TRADES

if TYPE_CHECKING:
    import pyarrow as pa

    from k2core.interfaces.broker import Broker, Consumer

RANK = {level.name: level.value for level in Level}


class LevelTrace:
    """Reads the events of the control topic from its start, and keeps them.

    Args:
        log: The log; the topic may come later.
        now_s: Unix seconds that count as 0.
    """

    def __init__(self, log: Broker, now_s: float) -> None:
        self._log, self._codec = log, Codec(LEVELS)
        self._consumer: Consumer | None = None
        self._zero = now_s
        self._events: list[tuple[float, str, str, str]] = []

    @property
    def level(self) -> str:
        """The newest level."""
        return self._events[-1][1] if self._events else "NORMAL"

    @property
    def entered(self) -> set[str]:
        """Every level that was entered."""
        return {level for _, level, _, _ in self._events}

    def told(self) -> dict[str, int]:
        """How often each level was entered."""
        return dict(Counter(level for _, level, _, _ in self._events))

    def look(self) -> list[str]:
        """What was told since, a line each."""
        if self._consumer is None:
            if LEVELS_TOPIC.name not in self._log.topics():
                return []
            self._consumer = self._log.consumer([LEVELS_TOPIC.name])
        return [line for block in self._consumer.poll(1000, 0) for line in self._take(block)]

    def _take(self, block: Any) -> Iterator[str]:
        for row in self._codec.decode(block.version, block.sizes, block.data).batch.to_pylist():
            if row["level"] != row["previous"]:
                why = (
                    f"{row['lag_records']:,} records behind"
                    if row["cause"] == "lag"
                    else f"memory at {row['memory_ratio']:.0%}"
                )
                self._events.append((block.timestamp_us / 1e6 - self._zero, row["level"], row["previous"], why))
                yield f"{row['previous']} -> {row['level']}: {why}"

    def steps(self) -> list[tuple[str, float, str, float | None]]:
        """Each level: its name, the seconds after which it was entered first, why, and when it was left for good."""
        first = min((at for at, _, previous, _ in self._events if previous == "NORMAL"), default=None)
        found: list[tuple[str, float, str, float | None]] = [("NORMAL", 0.0, "no load yet", first)]
        for level in list(RANK)[1:]:
            entered = [(at, why) for at, to, _, why in self._events if to == level]
            left = [at for at, to, previous, _ in self._events if RANK[previous] >= RANK[level] > RANK[to]]
            if entered:
                found.append((level, *entered[0], left[-1] if left else None))
        return found


def prove_whole(warehouse: Path, issued: Mapping[str, int]) -> str:
    """Compare the table, read with pyiceberg alone, with ids that run from 1 on; what is wrong, or nothing."""
    catalog = open_catalog(warehouse)
    try:
        rows = catalog.load_table(TRADES.table).scan(selected_fields=("symbol", "trade_id")).to_arrow()
    finally:
        catalog.close()
    return not_whole(rows, issued)


def not_whole(rows: pa.Table, issued: Mapping[str, int]) -> str:
    """What is wrong with stored `symbol` and `trade_id`, of which each symbol's should be 1 to `issued`; or nothing."""
    ids: Any = rows.column("trade_id")
    counts = rows.select(["symbol"]).append_column("id", ids.cast("int64")).group_by("symbol").aggregate(
        [("id", "count"), ("id", "count_distinct"), ("id", "min"), ("id", "max")]
    )  # fmt: skip
    stored = {str(symbol): found for symbol, *found in zip(*(c.to_pylist() for c in counts.columns), strict=True)}
    for symbol in sorted({*stored, *issued}):
        sent, (count, distinct, first, last) = issued.get(symbol, 0), stored.get(symbol, (0, 0, 1, 0))
        if not 1 <= first <= last + 1 <= sent + 1:
            return f"{symbol}: ids {first} to {last} are stored, 1 to {sent} were sent"
        if not count == distinct == sent:
            return f"{symbol}: {sent} sent, {count} stored, {sent - distinct} missing, {count - distinct} twice"
    return ""
