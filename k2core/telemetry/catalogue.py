"""The catalogue: every metric that k2 has. Another name, kind or label set raises."""

from __future__ import annotations

from k2core.telemetry.metrics import Metric

_ALL = (
    Metric(
        "k2_ingest_frames_total",
        "counter",
        ("exchange", "outcome"),
        "frames: yielding, control, rejected, refused",
    ),
    Metric("k2_ingest_records_total", "counter", ("exchange", "data_type"), "records appended to the log"),
    Metric("k2_recording_frames_total", "counter", ("exchange", "outcome"), "raw frames: kept, lost"),
    Metric("k2_ingest_connections", "gauge", ("exchange",), "open connections"),
    Metric("k2_ingest_reconnects_total", "counter", ("exchange",), "connections made again"),
    Metric("k2_ingest_queue_frames", "gauge", ("exchange",), "frames waiting for the normalizer"),
    Metric("k2_ingest_log_stalls_total", "counter", ("reason",), "appends that had to be tried again: full, busy"),
    Metric("k2_writer_records_total", "counter", ("data_type", "outcome"), "records: stored, duplicate, dead"),
    Metric(
        "k2_writer_commits_total",
        "counter",
        ("data_type", "outcome"),
        "commits: landed, conflict, fenced, unknown",
    ),
    Metric("k2_writer_commit_seconds_total", "counter", ("data_type",), "seconds spent in commits"),
    Metric("k2_writer_lag_records", "gauge", ("data_type",), "records in the log beyond the table"),
    Metric(
        "k2_writer_missing_ids",
        "gauge",
        ("data_type", "exchange"),
        "ids that should be contiguous and are absent",
    ),
    Metric("k2_writer_gone_records", "gauge", ("data_type",), "records that a table passed: the log had them no more"),
    Metric("k2_writer_dedup_errors_total", "counter", ("data_type",), "dedup store failures"),
    Metric(
        "k2_dedup_degraded", "gauge", ("data_type",), "partitions whose shared dedup store is away: memory stands in"
    ),
    Metric(
        "k2_dedup_degradations_total",
        "counter",
        ("data_type", "reason"),
        "partitions that lost their shared dedup store: away, slow, full, lost, taken, changed, evicting, refused",
    ),
    Metric("k2_enricher_failures_total", "counter", ("enricher", "reason"), "rows without the columns of an enricher"),
    Metric("k2_maintenance_runs_total", "counter", ("data_type", "outcome"), "maintenance runs: done, failed"),
    Metric("k2_serve_tail_rows", "gauge", ("data_type",), "rows in the tail"),
    Metric("k2_serve_tail_lag_records", "gauge", ("data_type",), "records in the log beyond the tail"),
    Metric("k2_serve_queries_total", "counter", ("route", "outcome"), "queries: ok, refused, failed, timeout"),
    Metric("k2_serve_query_seconds_total", "counter", ("route",), "seconds spent in queries"),
)

CATALOGUE = {m.name: m for m in _ALL}
