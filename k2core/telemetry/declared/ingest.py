"""What capture tells: connections, frames, queues, how late records are, what was refused."""

from __future__ import annotations

from k2core.telemetry.declared.sets import COUNTS, DELAYS, FRAME_FAULTS, INGEST, WORK
from k2core.telemetry.metric import Metric

_EXCHANGE = ("exchange",)
_OUTCOMES = {"outcome": ("yielding", "control", "rejected", "refused", "unaccounted")}
_ENDS = {"reason": ("closed", "lost", "silent", "no-data", "unacknowledged", "overload", "protocol", "other")}

CONNECTIONS = (
    Metric("k2_ingest_connections", "gauge", _EXCHANGE, "open connections", INGEST),
    Metric("k2_ingest_connects_total", "counter", _EXCHANGE, "connections that were opened", INGEST),
    Metric(
        "k2_ingest_connect_failures_total", "counter", _EXCHANGE, "attempts to connect that failed", INGEST, rare=True
    ),
    Metric(
        "k2_ingest_reconnects_total",
        "counter",
        ("exchange", "reason"),
        "connections that ended and were made again, by what ended them",
        INGEST,
        values=_ENDS,
        rare=True,
    ),
    Metric("k2_ingest_rollovers_total", "counter", _EXCHANGE, "connections replaced while they ran", INGEST, rare=True),
    Metric(
        "k2_ingest_subscriptions_left_out",
        "gauge",
        _EXCHANGE,
        "subscriptions that the exchange does not know or refused",
        INGEST,
        rare=True,
    ),
    Metric(
        "k2_ingest_queue_pauses_total",
        "counter",
        _EXCHANGE,
        "times that a full queue stopped a socket from being read",
        INGEST,
        rare=True,
    ),
    Metric("k2_ingest_queue_frames", "gauge", _EXCHANGE, "frames waiting for the normalizer", INGEST, rare=True),
    Metric(
        "k2_ingest_queue_bytes", "gauge", _EXCHANGE, "bytes of frames waiting for the normalizer", INGEST, rare=True
    ),
    Metric(
        "k2_ingest_queue_fill_ratio",
        "gauge",
        _EXCHANGE,
        "share of the queue in use; at 1 sockets are not read",
        INGEST,
        rare=True,
    ),
    Metric("k2_ingest_last_frame_timestamp_seconds", "gauge", _EXCHANGE, "receive time of the newest frame", INGEST),
)

CAPTURE = (
    Metric(
        "k2_ingest_frames_total",
        "counter",
        ("exchange", "outcome"),
        "frames by what became of them; refused: larger than the limit; unaccounted: the normalizer did not say",
        INGEST,
        values=_OUTCOMES,
    ),
    Metric("k2_ingest_frame_bytes_total", "counter", _EXCHANGE, "bytes of frames that are in the log", INGEST),
    Metric("k2_ingest_records_total", "counter", ("exchange", "data_type"), "records appended to the log", INGEST),
    Metric("k2_ingest_record_bytes_total", "counter", _EXCHANGE, "encoded bytes appended to the log", INGEST),
    Metric(
        "k2_ingest_last_record_timestamp_seconds",
        "gauge",
        ("exchange", "data_type"),
        "when records were last appended",
        INGEST,
    ),
    Metric("k2_ingest_batch_frames", "histogram", _EXCHANGE, "frames in a batch", INGEST, buckets=COUNTS),
    Metric(
        "k2_ingest_exchange_delay_seconds",
        "histogram",
        ("exchange", "data_type"),
        "from the exchange's event time to our receipt; both clocks' errors are in it",
        INGEST,
        buckets=DELAYS,
    ),
    Metric(
        "k2_ingest_append_delay_seconds",
        "histogram",
        _EXCHANGE,
        "from receipt to being in the log",
        INGEST,
        buckets=DELAYS,
    ),
    Metric(
        "k2_ingest_normalize_seconds",
        "histogram",
        _EXCHANGE,
        "normalizing and encoding a batch",
        INGEST,
        buckets=WORK,
    ),
    Metric("k2_ingest_append_seconds", "histogram", _EXCHANGE, "one append to the log", INGEST, buckets=WORK),
    Metric(
        "k2_ingest_log_stalls_total",
        "counter",
        ("reason",),
        "appends that had to be tried again: full, busy, away",
        INGEST,
        values={"reason": ("full", "busy", "away")},
        rare=True,
    ),
    Metric(
        "k2_ingest_dead_letters_total",
        "counter",
        ("exchange", "reason"),
        "frames that could not become records, by reason",
        INGEST,
        initial={"reason": FRAME_FAULTS},
    ),
    Metric(
        "k2_ingest_normalizer_failures_total",
        "counter",
        _EXCHANGE,
        "batches in which the normalizer's code failed",
        INGEST,
        rare=True,
    ),
    Metric(
        "k2_recording_frames_total",
        "counter",
        ("exchange", "outcome"),
        "raw frames: kept in files, or lost because the disk refused",
        INGEST,
        values={"outcome": ("kept", "lost")},
    ),
)
