"""What serving tells: tails, queries, the tables they read, and HTTP."""

from __future__ import annotations

from k2core.telemetry.declared.sets import DELAYS, SERVE, WORK
from k2core.telemetry.metric import Metric

_TYPE, _ROUTE = ("data_type",), ("route",)
_QUERIES = {"outcome": ("ok", "refused", "failed", "timeout", "overloaded")}

TAILS = (
    Metric("k2_serve_tail_rows", "gauge", _TYPE, "rows in memory", SERVE),
    Metric("k2_serve_tail_bytes", "gauge", _TYPE, "bytes of rows in memory", SERVE),
    Metric("k2_serve_tail_lag_records", "gauge", _TYPE, "records in the log that memory has not read yet", SERVE),
    Metric("k2_serve_tail_read_records_total", "counter", _TYPE, "records that the tail read from the log", SERVE),
    Metric("k2_serve_tail_duplicates_total", "counter", _TYPE, "copies that the tail dropped", SERVE),
    Metric(
        "k2_serve_tail_rebuilds_total",
        "counter",
        _TYPE,
        "times that a tail was built anew: a rollback, new topics, or retention passed it",
        SERVE,
        rare=True,
    ),
    Metric(
        "k2_serve_tail_stalls_total",
        "counter",
        _TYPE,
        "reads of log or table that failed and are tried again",
        SERVE,
        rare=True,
    ),
    Metric(
        "k2_serve_tail_last_record_timestamp_seconds", "gauge", _TYPE, "append time of the newest record read", SERVE
    ),
    Metric(
        "k2_serve_tail_delay_seconds",
        "histogram",
        _TYPE,
        "from being in the log to being in answers",
        SERVE,
        buckets=DELAYS,
    ),
    Metric(
        "k2_serve_freshness_seconds",
        "histogram",
        _TYPE,
        "from receipt to being in answers",
        SERVE,
        buckets=DELAYS,
    ),
    Metric("k2_table_rows", "gauge", _TYPE, "rows of the table", SERVE),
    Metric("k2_table_files", "gauge", _TYPE, "data files of the table", SERVE),
    Metric("k2_table_size_bytes", "gauge", _TYPE, "bytes of the table's data files", SERVE),
    Metric("k2_table_snapshots", "gauge", _TYPE, "snapshots that live", SERVE),
    Metric("k2_table_last_snapshot_timestamp_seconds", "gauge", _TYPE, "when its newest snapshot was made", SERVE),
)

QUERIES = (
    Metric(
        "k2_serve_queries_total",
        "counter",
        ("route", "outcome"),
        "queries by how they ended",
        SERVE,
        values=_QUERIES,
    ),
    Metric("k2_serve_query_seconds", "histogram", _ROUTE, "a query, from its turn on", SERVE, buckets=WORK),
    Metric(
        "k2_serve_slow_queries_total",
        "counter",
        _ROUTE,
        "queries that took longer than [query] slow_s",
        SERVE,
        rare=True,
    ),
    Metric("k2_serve_queries_inside", "gauge", (), "queries that run or wait for their turn", SERVE, zero=True),
    Metric(
        "k2_serve_answer_rows_total",
        "counter",
        ("route", "half"),
        "rows that answers took from memory (hot) and from the table (cold)",
        SERVE,
        values={"half": ("hot", "cold")},
    ),
    Metric("k2_serve_answer_bytes_total", "counter", _ROUTE, "bytes of answers", SERVE),
    Metric(
        "k2_serve_files_read_total",
        "counter",
        ("route", "outcome"),
        "data files of the tables by whether a query had to read them",
        SERVE,
        values={"outcome": ("read", "pruned")},
    ),
    Metric(
        "k2_serve_incomplete_answers_total",
        "counter",
        _ROUTE,
        "answers that name ranges that they lack",
        SERVE,
        rare=True,
    ),
)

HTTP = (
    Metric(
        "k2_http_requests_total",
        "counter",
        ("route", "status"),
        "requests by route and class of status",
        SERVE,
        values={"status": ("2xx", "3xx", "4xx", "5xx")},
    ),
    Metric(
        "k2_http_request_seconds", "histogram", _ROUTE, "from request to the end of its answer", SERVE, buckets=WORK
    ),
    Metric("k2_http_in_flight", "gauge", (), "requests that are being answered", SERVE, zero=True),
    Metric("k2_http_auth_refusals_total", "counter", (), "requests without a valid key", SERVE, rare=True),
    Metric("k2_http_connections", "gauge", (), "open connections", SERVE, zero=True),
    Metric(
        "k2_http_silent_connections_closed_total",
        "counter",
        (),
        "connections that were closed because nothing was asked on them",
        SERVE,
        rare=True,
    ),
)
