"""The catalogue: every metric that k2 has. Another name, kind or label set raises; a plugin declares its own ones.

`docs/metrics.md` is made from it. Every metric stands on a dashboard or in a rule, and a test shows that it moves.
"""

from __future__ import annotations

from k2core.telemetry.declared.dedup import DEDUP
from k2core.telemetry.declared.degradation import DEGRADATION
from k2core.telemetry.declared.ingest import CAPTURE, CONNECTIONS
from k2core.telemetry.declared.kafka import KAFKA
from k2core.telemetry.declared.log import LOG
from k2core.telemetry.declared.process import PROCESS
from k2core.telemetry.declared.serve import HTTP, QUERIES, TAILS
from k2core.telemetry.declared.writer import UPKEEP, WRITER
from k2core.telemetry.metric import Metric

GROUPS: dict[str, tuple[Metric, ...]] = {
    "Capture": (*CONNECTIONS, *CAPTURE),
    "Log": LOG,
    "Kafka": KAFKA,
    "Writer": WRITER,
    "Degradation": DEGRADATION,
    "Duplicates": DEDUP,
    "Maintenance": UPKEEP,
    "Tails and tables": TAILS,
    "Queries": QUERIES,
    "HTTP": HTTP,
    "Processes": PROCESS,
}
"""By the heading that they stand under."""

CATALOGUE = {metric.name: metric for metrics in GROUPS.values() for metric in metrics}
