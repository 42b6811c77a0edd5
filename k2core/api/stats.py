"""`/v1/stats`: per data type what the table holds, how far tail and writer are, what is missing, twice or dead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from k2core.admission.holes import Hole
from k2core.interfaces.shed import Shed
from k2core.query.service import QueryService
from k2core.telemetry.status import Status


def stats(service: QueryService, statuses: Mapping[str, Status]) -> dict[str, Any]:
    """Figures of every data type, by name."""
    writer = statuses.get("write")
    return {name: _of(service, name, writer) for name in service.data_types}


def _of(service: QueryService, name: str, writer: Status | None) -> dict[str, Any]:
    tail = service.tails[name]
    view, snapshot = tail.view, service.sources[name].newest()
    ends = service.broker.ends(tail.parts.topics)
    return {
        "table": {"snapshot_id": snapshot.id, **service.sources[name].stats()},
        "tail": {
            "rows": view.rows,
            "bytes": view.size,
            "lag_records": _behind(ends, view.ends),
            "uncommitted_records": _behind(view.ends, snapshot.offsets),
            "duplicates_dropped": tail.follower.duplicates,
            "dead_letters": tail.follower.dead,
            "rebuilt": tail.rebuilt,
        },
        "gone": [asdict(one) for one in snapshot.gone],
        "shed": [_shed(one) for one in snapshot.shed],
        "missing_ids": {"by_exchange": dict(tail.missing), "holes": [_hole(h) for h in tail.holes]},
        "log_records_beyond_table": _behind(ends, snapshot.offsets),
        "freshness": dict(tail.freshness.percentiles()),
        "writer": _writer(name, writer),
    }


def _writer(name: str, writer: Status | None) -> dict[str, Any] | None:
    """What the writer says of a data type; None where no writer ever ran here."""
    if writer is None:
        return None
    records = {
        outcome: int(writer.value("k2_writer_records_total", data_type=name, outcome=outcome))
        for outcome in ("stored", "duplicate", "dead")
    }
    return {
        "records": records,
        "lag_records": int(writer.value("k2_writer_lag_records", data_type=name)),
        "missing_ids": int(writer.value("k2_writer_missing_ids", data_type=name)),
    }


def _shed(one: Shed) -> dict[str, Any]:
    """A range with shed records; symbols with the number of records each."""
    return {**asdict(one), "symbols": dict(one.symbols), "records": one.records}


def _hole(hole: Hole) -> dict[str, Any]:
    """Ids that never came, both ends inclusive."""
    return {"exchange": hole.exchange, "symbol": hole.symbol, "first": hole.first, "last": hole.last}


def _behind(ends: Mapping[Any, int], read: Mapping[Any, int]) -> int:
    return sum(max(0, end - read.get(p, 0)) for p, end in ends.items())
