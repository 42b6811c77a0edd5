"""What is counted and logged of a query: how it ended, how long it took, and what its answer was made of.

The log line carries the request's id, the snapshot and the pin: with them a slow or wrong answer can be followed, and
asked again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from k2core.errors import QueryError
from k2core.query.answer import Answer
from k2core.query.cursor import ends_of
from k2core.telemetry.metrics import Metrics

log = logging.getLogger("k2.query")


@dataclass(slots=True)
class Watched:
    """One query.

    Args:
        route: As `trades`.
        request: The request's id.
        asked: The query string, as it came; shown to 500 characters.
        metrics: Where it is counted.
        slow_s: Longer than this is slow.
    """

    route: str
    request: str
    asked: str
    metrics: Metrics
    slow_s: float
    outcome: str = "failed"
    why: str = ""
    size: int = 0
    answer: Answer | None = field(default=None)

    def ended(self, size: int) -> None:
        """It was answered, in so many bytes."""
        self.outcome, self.size = "ok", size

    def refused(self, error: QueryError) -> None:
        """It was not answered."""
        kinds = {"timeout": "timeout", "overloaded": "overloaded"}
        self.outcome = kinds.get(error.kind, "refused" if error.status < 500 else "failed")
        self.why = error.kind

    def tell(self, seconds: float) -> None:
        """Count and log it."""
        metrics, route, slow = self.metrics, self.route, seconds > self.slow_s
        metrics.add("k2_serve_queries_total", route=route, outcome=self.outcome)
        metrics.observe("k2_serve_query_seconds", seconds, route=route)
        if slow:
            metrics.add("k2_serve_slow_queries_total", route=route)
        found = self._answered() if self.answer is not None else _Made()
        log.log(
            logging.WARNING if slow else logging.INFO,
            "query route=%s request=%s outcome=%s why=%s ms=%.1f rows=%d hot=%d cold=%d files=%d pruned=%d bytes=%d"
            " complete=%s snapshot=%s pin=%s asked=%s",
            route, self.request, self.outcome, self.why or "-", 1e3 * seconds, found.rows, found.hot, found.cold,
            found.read, found.pruned, self.size, found.complete, found.snapshot, found.pin, self.asked[:500] or "-",
        )  # fmt: skip

    def _answered(self) -> _Made:
        assert self.answer
        made, add, route = _Made.of(self.answer), self.metrics.add, self.route
        add("k2_serve_answer_rows_total", made.hot, route=route, half="hot")
        add("k2_serve_answer_rows_total", made.cold, route=route, half="cold")
        add("k2_serve_files_read_total", made.read, route=route, outcome="read")
        add("k2_serve_files_read_total", made.pruned, route=route, outcome="pruned")
        add("k2_serve_answer_bytes_total", self.size, route=route)
        if not made.complete:
            add("k2_serve_incomplete_answers_total", route=route)
        return made


@dataclass(frozen=True, slots=True)
class _Made:
    """What an answer was made of."""

    rows: int = 0
    hot: int = 0
    cold: int = 0
    read: int = 0
    pruned: int = 0
    complete: bool = False
    snapshot: int | str = "-"
    pin: str = "-"

    @classmethod
    def of(cls, answer: Answer) -> _Made:
        """From what it says of itself."""
        explain = answer.explain
        cold: Mapping[str, Any] = explain.get("cold") or {}
        files, pruned = int(cold.get("files", 0)), int(cold.get("files_pruned", 0))
        pin = ";".join(
            f"{topic}:" + ",".join(f"{place}@{end}" for place, end in ends)
            for topic, ends in ends_of(answer.pin).items()
        )
        return cls(
            answer.rows.num_rows, int(explain.get("tail_rows", 0)), int(explain.get("cold_rows", 0)),
            max(0, files - pruned), pruned, answer.complete, answer.snapshot_id or "-", pin or "-",
        )  # fmt: skip
