"""What writing tells: reading the log, commits, lag, holes, and upkeep of the tables."""

from __future__ import annotations

from k2core.telemetry.declared.sets import COMMITS, COUNTS, DELAYS, RECORD_FAULTS, WRITE
from k2core.telemetry.metric import Metric

_TYPE = ("data_type",)

WRITER = (
    Metric("k2_writer_read_records_total", "counter", _TYPE, "records read from the log", WRITE),
    Metric("k2_writer_read_bytes_total", "counter", _TYPE, "bytes of records read from the log", WRITE),
    Metric("k2_writer_poll_records", "histogram", _TYPE, "records in one read", WRITE, buckets=COUNTS),
    Metric(
        "k2_writer_records_total",
        "counter",
        ("data_type", "outcome"),
        "records committed or passed by a commit: stored, duplicate, dead, shed",
        WRITE,
        values={"outcome": ("stored", "duplicate", "dead", "shed")},
    ),
    Metric(
        "k2_writer_commits_total",
        "counter",
        ("data_type", "outcome"),
        "commits: landed, conflict, fenced, unknown (its outcome had to be looked up)",
        WRITE,
        values={"outcome": ("landed", "conflict", "fenced", "unknown")},
    ),
    Metric("k2_writer_commit_seconds", "histogram", _TYPE, "a whole commit", WRITE, buckets=COMMITS),
    Metric("k2_writer_stage_seconds", "histogram", _TYPE, "writing a commit's files", WRITE, buckets=COMMITS),
    Metric("k2_writer_commit_rows", "histogram", _TYPE, "rows of a commit that landed", WRITE, buckets=COUNTS),
    Metric("k2_writer_files_total", "counter", _TYPE, "data files written", WRITE),
    Metric("k2_writer_file_bytes_total", "counter", _TYPE, "bytes of data files written", WRITE),
    Metric(
        "k2_writer_commit_delay_seconds",
        "histogram",
        _TYPE,
        "from being in the log to being in the table",
        WRITE,
        buckets=DELAYS,
    ),
    Metric("k2_writer_last_commit_timestamp_seconds", "gauge", _TYPE, "when a commit last landed", WRITE),
    Metric(
        "k2_writer_last_record_timestamp_seconds", "gauge", _TYPE, "append time of the newest record committed", WRITE
    ),
    Metric("k2_writer_waiting_records", "gauge", _TYPE, "records read and not committed yet", WRITE),
    Metric("k2_writer_lag_records", "gauge", _TYPE, "records in the log beyond the table", WRITE),
    Metric(
        "k2_writer_lag_seconds",
        "gauge",
        _TYPE,
        "age of the oldest record in the log beyond the table; 0 where there is none",
        WRITE,
    ),
    Metric("k2_writer_partitions_owned", "gauge", _TYPE, "partitions that this writer owns", WRITE),
    Metric("k2_writer_takeovers_total", "counter", _TYPE, "times that partitions were taken over", WRITE),
    Metric(
        "k2_writer_partitions_lost_total",
        "counter",
        _TYPE,
        "partitions that another writer took over",
        WRITE,
        rare=True,
    ),
    Metric(
        "k2_writer_retries_total",
        "counter",
        ("data_type", "reason"),
        "steps that failed and are tried again, by the kind of error",
        WRITE,
        initial={"reason": ("SinkError", "BrokerError", "DedupError")},
        rare=True,
    ),
    Metric(
        "k2_writer_pipelines",
        "gauge",
        ("state",),
        "tables by how writing them goes: starting, running, waiting (to try again), failed, fenced",
        WRITE,
        values={"state": ("starting", "running", "waiting", "failed", "fenced")},
        zero=True,
    ),
    Metric(
        "k2_writer_missing_ids",
        "gauge",
        ("data_type", "exchange"),
        "ids that should be contiguous and are absent",
        WRITE,
        rare=True,
        zero=True,
    ),
    Metric("k2_writer_holes", "gauge", _TYPE, "ranges of absent ids that are known", WRITE, zero=True, rare=True),
    Metric(
        "k2_writer_gone_records",
        "gauge",
        _TYPE,
        "records that a table passed because the log had them no more",
        WRITE,
        rare=True,
        zero=True,
    ),
    Metric(
        "k2_writer_dead_letters_total",
        "counter",
        ("data_type", "reason"),
        "records of the log that could not become rows, by reason",
        WRITE,
        initial={"reason": RECORD_FAULTS},
        rare=True,
    ),
    Metric(
        "k2_writer_dedup_errors_total",
        "counter",
        _TYPE,
        "calls that the dedup store refused",
        WRITE,
        rare=True,
    ),
    Metric(
        "k2_enricher_failures_total",
        "counter",
        ("enricher", "reason"),
        "rows that stay without an enricher's columns, for it failed",
        initial={"reason": ("ArrowInvalid", "TypeError", "ValueError")},
        rare=True,
    ),
)

UPKEEP = (
    Metric(
        "k2_maintenance_runs_total",
        "counter",
        ("data_type", "outcome"),
        "maintenance runs: done, failed",
        WRITE,
        values={"outcome": ("done", "failed")},
    ),
    Metric("k2_maintenance_seconds", "histogram", _TYPE, "one maintenance run", WRITE, buckets=COMMITS),
    Metric(
        "k2_maintenance_changes_total",
        "counter",
        ("data_type", "change"),
        "what maintenance did, as the sink counts it: files compacted, snapshots expired, files deleted",
        WRITE,
        initial={"change": ("files_compacted", "files_written", "snapshots_expired", "files_deleted")},
        rare=True,
    ),
    Metric("k2_maintenance_last_success_timestamp_seconds", "gauge", _TYPE, "when a run last succeeded", WRITE),
)
