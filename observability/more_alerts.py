"""Alerts of writing and of answering."""

from __future__ import annotations

from observability.alert import NEW, OLD, RISING, STEEP, STILL, Alert, series
from observability.alerts import CAPTURE, PROCESSES, TYPE

WRITING = (
    Alert(
        name="K2NothingCommitted",
        expr="(time() - k2_writer_last_commit_timestamp_seconds > 120) and k2_writer_lag_records > 0",
        lasts="1m",
        severity="critical",
        summary="Records wait in the log, and no commit has landed for minutes.",
        section="Lag grows",
        fires={
            series("k2_writer_last_commit_timestamp_seconds", **TYPE): OLD,
            series("k2_writer_lag_records", **TYPE): RISING,
        },
        silent={
            series("k2_writer_last_commit_timestamp_seconds", **TYPE): OLD,
            series("k2_writer_lag_records", **TYPE): STILL,
        },
        labels=TYPE,
    ),
    Alert(
        name="K2LagGrows",
        expr="k2_writer_lag_seconds > 60",
        lasts="5m",
        severity="warning",
        summary="A table is more than a minute behind the log.",
        section="Lag grows",
        fires={series("k2_writer_lag_seconds", **TYPE): "120x40"},
        silent={series("k2_writer_lag_seconds", **TYPE): "5x40"},
        labels=TYPE,
    ),
    Alert(
        name="K2CommitsSlow",
        expr=(
            "histogram_quantile(0.9, sum by (le, job, instance, data_type) "
            "(rate(k2_writer_commit_seconds_bucket[15m]))) > 10"
        ),
        lasts="5m",
        severity="warning",
        summary="One commit in ten takes longer than ten seconds.",
        section="Lag grows",
        fires={
            series("k2_writer_commit_seconds_bucket", le="10.0", **TYPE): STILL,
            series("k2_writer_commit_seconds_bucket", le="30.0", **TYPE): RISING,
            series("k2_writer_commit_seconds_bucket", le="+Inf", **TYPE): RISING,
        },
        silent={
            series("k2_writer_commit_seconds_bucket", le="10.0", **TYPE): RISING,
            series("k2_writer_commit_seconds_bucket", le="+Inf", **TYPE): RISING,
        },
        labels=TYPE,
    ),
    Alert(
        name="K2CommitsFight",
        expr=(
            'sum by (job, instance, data_type) (increase(k2_writer_commits_total{outcome=~"conflict|unknown"}[10m])) > 10'
        ),
        lasts="0m",
        severity="warning",
        summary="Commits are refused or their outcome is unknown, again and again.",
        section="Lag grows",
        fires={series("k2_writer_commits_total", outcome="conflict", **TYPE): STEEP},
        silent={series("k2_writer_commits_total", outcome="conflict", **TYPE): "0x20 1x20"},
        labels=TYPE,
    ),
    Alert(
        name="K2TableStopped",
        expr='k2_writer_pipelines{state="failed"} > 0',
        lasts="1m",
        severity="critical",
        summary="A table is not written any more: an error ended it that does not pass.",
        section="Lag grows",
        fires={series("k2_writer_pipelines", state="failed"): "1x40"},
        silent={series("k2_writer_pipelines", state="failed"): STILL},
        labels={"state": "failed"},
    ),
    Alert(
        name="K2WriterFenced",
        expr='increase(k2_up_child_deaths_total{reason="fenced"}[1h]) > 0 or k2_writer_pipelines{state="fenced"} > 0',
        lasts="0m",
        severity="critical",
        summary="Another writer took the tables over.",
        section="A writer was fenced",
        fires={series("k2_writer_pipelines", state="fenced"): "1x40"},
        silent={series("k2_writer_pipelines", state="fenced"): STILL},
        labels={"state": "fenced"},
    ),
    Alert(
        name="K2RecordsRefused",
        expr="sum by (job, instance, data_type) (increase(k2_writer_dead_letters_total[15m])) > 0",
        lasts="0m",
        severity="warning",
        summary="Records of the log cannot become rows.",
        section="Dead letters grow",
        fires={series("k2_writer_dead_letters_total", reason="bad-number", **TYPE): RISING},
        silent={series("k2_writer_dead_letters_total", reason="bad-number", **TYPE): STILL},
        labels=TYPE,
    ),
    Alert(
        name="K2IdsMissing",
        expr="delta(k2_writer_missing_ids[15m]) > 0",
        lasts="5m",
        severity="warning",
        summary="Ids that should follow each other are absent.",
        section="Ids are missing",
        fires={series("k2_writer_missing_ids", exchange="binance", **TYPE): RISING},
        silent={series("k2_writer_missing_ids", exchange="binance", **TYPE): "7x40"},
        labels={"exchange": "binance", **TYPE},
    ),
    Alert(
        name="K2RecordsGone",
        expr="delta(k2_writer_gone_records[1h]) > 0",
        lasts="0m",
        severity="critical",
        summary="A table passed records that the log had no more.",
        section="Records are gone from the log",
        fires={series("k2_writer_gone_records", **TYPE): "0x10 5x30"},
        silent={series("k2_writer_gone_records", **TYPE): "5x40"},
        labels=TYPE,
    ),
    Alert(
        name="K2DedupDegraded",
        expr="k2_dedup_degraded > 0",
        lasts="5m",
        severity="warning",
        summary="The shared dedup store is away; memory and the table stand in.",
        section="Redis is away",
        fires={series("k2_dedup_degraded", **TYPE): "16x40"},
        silent={series("k2_dedup_degraded", **TYPE): STILL},
        labels=TYPE,
    ),
    Alert(
        name="K2KafkaUnconfirmed",
        expr="sum by (job, instance) (increase(k2_kafka_append_failures_total[10m])) > 0",
        lasts="2m",
        severity="critical",
        summary="Kafka does not confirm what is captured; it is sent again.",
        section="Kafka confirms nothing",
        fires={series("k2_kafka_append_failures_total", reason="away"): RISING},
        silent={series("k2_kafka_append_failures_total", reason="away"): STILL},
    ),
    Alert(
        name="K2Degraded",
        expr="k2_writer_degradation_level >= 2",
        lasts="1m",
        severity="critical",
        summary="The load is more than the writer can take, and records are shed.",
        section="Writers degrade",
        fires={series("k2_writer_degradation_level", **TYPE): "3x40"},
        silent={series("k2_writer_degradation_level", **TYPE): "1x40"},
        labels=TYPE,
    ),
    Alert(
        name="K2EnricherFails",
        expr="sum by (job, instance, enricher) (increase(k2_enricher_failures_total[15m])) > 0",
        lasts="0m",
        severity="warning",
        summary="Rows stay without an enricher's columns.",
        section="An enricher fails",
        fires={series("k2_enricher_failures_total", enricher="notional", reason="ValueError"): RISING},
        silent={series("k2_enricher_failures_total", enricher="notional", reason="ValueError"): STILL},
        labels={"enricher": "notional"},
    ),
    Alert(
        name="K2MaintenanceOverdue",
        expr="time() - k2_maintenance_last_success_timestamp_seconds > 1200",
        lasts="5m",
        severity="warning",
        summary="A table has not been maintained for a long time: its files grow in number.",
        section="Maintenance fails",
        fires={series("k2_maintenance_last_success_timestamp_seconds", **TYPE): OLD},
        silent={series("k2_maintenance_last_success_timestamp_seconds", **TYPE): NEW},
        labels=TYPE,
    ),
)

ANSWERS = (
    Alert(
        name="K2TailBehind",
        expr="k2_serve_tail_lag_records > 50000",
        lasts="2m",
        severity="warning",
        summary="The newest records do not get into answers in time.",
        section="The tail is behind",
        fires={series("k2_serve_tail_lag_records", **TYPE): "90000x40"},
        silent={series("k2_serve_tail_lag_records", **TYPE): "10x40"},
        labels=TYPE,
    ),
    Alert(
        name="K2TailStalls",
        expr="increase(k2_serve_tail_stalls_total[5m]) > 3",
        lasts="1m",
        severity="warning",
        summary="A tail cannot read the log or the table, and tries again.",
        section="The tail is behind",
        fires={series("k2_serve_tail_stalls_total", **TYPE): STEEP},
        silent={series("k2_serve_tail_stalls_total", **TYPE): "0x20 1x20"},
        labels=TYPE,
    ),
    Alert(
        name="K2AnswersStale",
        expr="k2:freshness_seconds:p99_5m > 5",
        lasts="5m",
        severity="warning",
        summary="One record in a hundred needs longer than five seconds into answers.",
        section="The tail is behind",
        fires={
            series("k2_serve_freshness_seconds_bucket", le="5.0", **TYPE): STILL,
            series("k2_serve_freshness_seconds_bucket", le="10.0", **TYPE): STEEP,
            series("k2_serve_freshness_seconds_bucket", le="+Inf", **TYPE): STEEP,
        },
        silent={
            series("k2_serve_freshness_seconds_bucket", le="5.0", **TYPE): STEEP,
            series("k2_serve_freshness_seconds_bucket", le="+Inf", **TYPE): STEEP,
        },
        labels=TYPE,
    ),
    Alert(
        name="K2QueriesFail",
        expr="k2:query_failures:ratio5m > 0.05",
        lasts="2m",
        severity="critical",
        summary="More than one query in twenty fails, takes too long or is turned away.",
        section="Queries are slow or fail",
        fires={
            series("k2_serve_queries_total", route="trades", outcome="failed"): RISING,
            series("k2_serve_queries_total", route="trades", outcome="ok"): RISING,
        },
        silent={
            series("k2_serve_queries_total", route="trades", outcome="failed"): STILL,
            series("k2_serve_queries_total", route="trades", outcome="ok"): RISING,
        },
    ),
    Alert(
        name="K2QueriesSlow",
        expr="k2:query_seconds:p99_5m > 2.5",
        lasts="10m",
        severity="warning",
        summary="One query in a hundred takes longer than two and a half seconds.",
        section="Queries are slow or fail",
        fires={
            series("k2_serve_query_seconds_bucket", le="2.5", route="trades"): STILL,
            series("k2_serve_query_seconds_bucket", le="5.0", route="trades"): STEEP,
            series("k2_serve_query_seconds_bucket", le="+Inf", route="trades"): STEEP,
        },
        silent={
            series("k2_serve_query_seconds_bucket", le="2.5", route="trades"): STEEP,
            series("k2_serve_query_seconds_bucket", le="+Inf", route="trades"): STEEP,
        },
        labels={"route": "trades"},
    ),
    Alert(
        name="K2AnswersIncomplete",
        expr="sum by (job, instance, route) (increase(k2_serve_incomplete_answers_total[15m])) > 0",
        lasts="0m",
        severity="warning",
        summary="Answers lack ranges, which they name.",
        section="Queries are slow or fail",
        fires={series("k2_serve_incomplete_answers_total", route="trades"): RISING},
        silent={series("k2_serve_incomplete_answers_total", route="trades"): STILL},
        labels={"route": "trades"},
    ),
    Alert(
        name="K2KeysRefused",
        expr="increase(k2_http_auth_refusals_total[5m]) > 50",
        lasts="0m",
        severity="warning",
        summary="Many requests come without a valid key.",
        section="Queries are slow or fail",
        fires={series("k2_http_auth_refusals_total"): STEEP},
        silent={series("k2_http_auth_refusals_total"): RISING},
    ),
)

ALERTS = {"k2-processes": PROCESSES, "k2-capture": CAPTURE, "k2-writing": WRITING, "k2-answers": ANSWERS}

RECORDED = {
    "k2:ingest_records:rate5m": "sum by (job, exchange, data_type) (rate(k2_ingest_records_total[5m]))",
    "k2:stored_records:rate5m": 'sum by (job, data_type) (rate(k2_writer_records_total{outcome="stored"}[5m]))',
    "k2:commit_delay_seconds:p99_5m": (
        "histogram_quantile(0.99, sum by (le, job, data_type) (rate(k2_writer_commit_delay_seconds_bucket[5m])))"
    ),
    "k2:freshness_seconds:p99_5m": (
        "histogram_quantile(0.99, sum by (le, job, instance, data_type) (rate(k2_serve_freshness_seconds_bucket[5m])))"
    ),
    "k2:query_seconds:p99_5m": (
        "histogram_quantile(0.99, sum by (le, job, instance, route) (rate(k2_serve_query_seconds_bucket[5m])))"
    ),
    "k2:query_failures:ratio5m": (
        'sum by (job, instance) (rate(k2_serve_queries_total{outcome=~"failed|timeout|overloaded"}[5m]))'
        " / (sum by (job, instance) (rate(k2_serve_queries_total[5m])) > 0)"
    ),
}
"""Recording rules by name."""
