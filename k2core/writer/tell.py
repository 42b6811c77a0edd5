"""What the writer tells after a commit: counts by outcome, and holes: a gauge an exchange, a log line a hole, bounded."""

from __future__ import annotations

from collections.abc import Sequence

from k2core.admission.holes import HoleLedger
from k2core.interfaces.shed import Shed
from k2core.writer.parts import Parts
from k2core.writer.waiting import Waiting

LINES = 20
"""Holes named in the log after one commit, at most; `k2_writer_missing_ids` counts all."""


def tell_landed(parts: Parts, waiting: Waiting, ledger: HoleLedger) -> None:
    """A commit landed: count what it carried, tell of holes."""
    counts = {
        "stored": waiting.rows,
        "duplicate": waiting.duplicates,
        "dead": waiting.dead,
        "shed": waiting.shed_records,
    }
    for outcome, count in counts.items():
        parts.metrics.add("k2_writer_records_total", count, data_type=parts.data_type.name, outcome=outcome)
    tell_holes(parts, ledger)


def tell_shed(parts: Parts, shed: Sequence[Shed]) -> None:
    """Set the gauge to what is shed and not restored."""
    records = sum(one.records for one in shed if one.state == "shed")
    parts.metrics.set("k2_writer_shed_records", records, data_type=parts.data_type.name)


def tell_known(parts: Parts, ledger: HoleLedger) -> None:
    """Holes that the table has from before this start: one line, for an earlier run named each of them."""
    name, totals = parts.data_type.name, ledger.totals()
    for exchange, missing in totals.items():
        parts.metrics.set("k2_writer_missing_ids", missing, data_type=name, exchange=exchange)
    if known := ledger.fresh():
        parts.logger.warning(
            "holes known from before data_type=%s holes=%d ids=%d: /v1/stats lists them",
            name, len(known), sum(map(len, known)),
        )  # fmt: skip


def tell_holes(parts: Parts, ledger: HoleLedger) -> None:
    """Name the holes that opened since the last time, and set the gauges."""
    name = parts.data_type.name
    for exchange, missing in ledger.totals().items():
        parts.metrics.set("k2_writer_missing_ids", missing, data_type=name, exchange=exchange)
    parts.metrics.set("k2_writer_holes", len(ledger.missing()), data_type=name)
    fresh = ledger.fresh()
    for hole in fresh[:LINES]:
        parts.logger.warning(
            "hole data_type=%s exchange=%s symbol=%s first=%d last=%d ids=%d",
            name, hole.exchange, hole.symbol, hole.first, hole.last, len(hole),
        )  # fmt: skip
    if len(fresh) > LINES:
        parts.logger.warning("hole data_type=%s further=%d", name, len(fresh) - LINES)
