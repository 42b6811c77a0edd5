"""What recognising copies tells, of any store, and of a shared store that may be away."""

from __future__ import annotations

from k2core.telemetry.declared.sets import WORK, WRITE
from k2core.telemetry.metric import Metric

_TYPE = ("data_type",)

DEDUP = (
    Metric(
        "k2_dedup_claims_total",
        "counter",
        ("data_type", "outcome"),
        "ids that were claimed: new, or a copy of one that is known",
        WRITE,
        values={"outcome": ("new", "copy")},
    ),
    Metric("k2_dedup_claim_seconds", "histogram", _TYPE, "one claim of a batch of ids", WRITE, buckets=WORK),
    Metric("k2_dedup_settle_seconds", "histogram", _TYPE, "one settle after a commit", WRITE, buckets=WORK),
    Metric(
        "k2_dedup_table_lookups_total",
        "counter",
        _TYPE,
        "ids that the store could not tell and the table was asked for",
        WRITE,
        rare=True,
    ),
    Metric("k2_dedup_window_entries", "gauge", _TYPE, "entries that the window in this process's memory holds", WRITE),
    Metric(
        "k2_dedup_degraded",
        "gauge",
        _TYPE,
        "partitions whose shared dedup store is away: memory stands in",
        WRITE,
        rare=True,
        zero=True,
    ),
    Metric(
        "k2_dedup_degradations_total",
        "counter",
        ("data_type", "reason"),
        "partitions that lost their shared dedup store, by reason",
        WRITE,
        initial={"reason": ("away", "slow", "full", "lost", "taken", "changed", "evicting", "denied", "refused")},
        rare=True,
    ),
)
