"""Label values and buckets that several declarations share."""

from __future__ import annotations

INGEST, WRITE, SERVE, UP = ("ingest",), ("write",), ("serve",), ("up",)

FRAME_FAULTS = (
    "malformed-json", "missing-field", "wrong-type", "bad-number", "inexact-number", "unknown-symbol",
    "time-out-of-range", "unknown-message", "normalizer-error",
)  # fmt: skip
RECORD_FAULTS = (
    "bad-number", "wrong-exchange", "missing-symbol", "wrong-partition", "time-out-of-range", "missing-id", "bad-side",
    "undecodable", "unknown-schema",
)  # fmt: skip

DELAYS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""From the exchange to an answer, seconds; the targets (0.03, 0.25) lie at or near an edge."""
WORK = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""A step of work, seconds."""
COMMITS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
COUNTS = (1.0, 10.0, 100.0, 1_000.0, 5_000.0, 10_000.0, 50_000.0, 100_000.0, 500_000.0)
