"""What the log tells: its size and age, appends, retention, and who is how far behind in it."""

from __future__ import annotations

from k2core.telemetry.declared.sets import WORK, WRITE
from k2core.telemetry.metric import Metric

LOG = (
    Metric("k2_log_size_bytes", "gauge", (), "bytes that the embedded log takes on disk, with its write-ahead log"),
    Metric("k2_log_limit_bytes", "gauge", (), "size at which the embedded log refuses appends"),
    Metric("k2_log_wal_bytes", "gauge", (), "bytes of the embedded log's write-ahead log"),
    Metric("k2_log_appends_total", "counter", (), "transactions that appended to the embedded log"),
    Metric("k2_log_append_seconds", "histogram", (), "one such transaction, synced", buckets=WORK),
    Metric("k2_log_appended_bytes_total", "counter", (), "encoded bytes that they appended"),
    Metric("k2_log_removed_segments_total", "counter", (), "segments that retention removed from the log", rare=True),
    Metric("k2_log_held_records", "gauge", ("data_type",), "records that the log holds", WRITE),
    Metric(
        "k2_log_oldest_timestamp_seconds",
        "gauge",
        ("data_type",),
        "append time of the oldest record that the log holds",
        WRITE,
    ),
    Metric(
        "k2_log_consumer_lag_records",
        "gauge",
        ("consumer",),
        "records that the log keeps because this registered consumer has not released them",
        WRITE,
    ),
)
