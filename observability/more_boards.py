"""The dashboards of what is read: queries and tails, the log, degradation."""

from __future__ import annotations

from k2core.telemetry.catalogue import CATALOGUE
from observability.boards import INGEST, OVERVIEW, WRITER, Board, Panel, lines

SERVE = Board(
    "k2-serve",
    "k2 / Answers",
    "Queries and what they read, the tails in memory, the tables, HTTP.",
    (
        (
            "Queries",
            (
                lines("By route and outcome", "k2_serve_queries_total"),
                lines("A query takes", "k2_serve_query_seconds"),
                lines("Slow ones", "k2_serve_slow_queries_total"),
                lines("Inside", "k2_serve_queries_inside"),
                lines("Rows from memory and table", "k2_serve_answer_rows_total", by=("half",)),
                lines("Files read and left out", "k2_serve_files_read_total", by=("outcome",)),
                lines("Bytes of answers", "k2_serve_answer_bytes_total"),
                lines("Incomplete answers", "k2_serve_incomplete_answers_total"),
            ),
        ),
        (
            "Tails",
            (
                lines("Rows in memory", "k2_serve_tail_rows"),
                lines("Bytes in memory", "k2_serve_tail_bytes"),
                lines("Records behind the log", "k2_serve_tail_lag_records"),
                lines("Newest record", "k2_serve_tail_last_record_timestamp_seconds"),
                lines("Records and copies", "k2_serve_tail_read_records_total", "k2_serve_tail_duplicates_total"),
                lines("Rebuilds and stalls", "k2_serve_tail_rebuilds_total", "k2_serve_tail_stalls_total"),
            ),
        ),
        (
            "Tables",
            (
                lines("Rows", "k2_table_rows"),
                lines("Files and snapshots", "k2_table_files", "k2_table_snapshots"),
                lines("Bytes", "k2_table_size_bytes"),
                lines("Newest snapshot", "k2_table_last_snapshot_timestamp_seconds"),
            ),
        ),
        (
            "HTTP",
            (
                lines("Requests", "k2_http_requests_total"),
                lines("A request takes", "k2_http_request_seconds"),
                lines("In flight, and connections", "k2_http_in_flight", "k2_http_connections", by=("instance",)),
                lines("Without a valid key", "k2_http_auth_refusals_total"),
                lines("Silent connections closed", "k2_http_silent_connections_closed_total"),
            ),
        ),
    ),
    ("k2_serve_", "k2_table_", "k2_http_"),
)

LOG = Board(
    "k2-log",
    "k2 / Log",
    "The log: its size and age, appends, who is how far behind; of Kafka, what its client tells.",
    (
        (
            "Embedded log",
            (
                lines("Size", "k2_log_size_bytes", "k2_log_limit_bytes"),
                lines("Write-ahead log", "k2_log_wal_bytes"),
                lines("Appends", "k2_log_appends_total", by=("instance",)),
                lines("An append takes", "k2_log_append_seconds"),
                lines("Bytes appended", "k2_log_appended_bytes_total", by=("instance",)),
                lines("Segments removed", "k2_log_removed_segments_total"),
            ),
        ),
        (
            "Any log",
            (
                lines("Records held", "k2_log_held_records"),
                lines("Oldest record", "k2_log_oldest_timestamp_seconds"),
                lines("Kept for consumers", "k2_log_consumer_lag_records"),
            ),
        ),
        (
            "Kafka",
            (
                lines("Records not confirmed yet", "k2_kafka_unconfirmed_records", by=("instance",)),
                lines("An append takes", "k2_kafka_delivery_seconds"),
                lines("Appends not confirmed", "k2_kafka_append_failures_total"),
                lines("An answer takes", "k2_kafka_answer_seconds"),
                lines("Clients given up", "k2_kafka_clients_discarded_total"),
                lines("Shares given and taken", "k2_kafka_rebalances_total"),
                lines("Time without a partition", "k2_kafka_unassigned_seconds_total", by=("instance",)),
                lines("Schema registry", "k2_kafka_registry_requests_total"),
                lines("Schema ids from disk", "k2_kafka_registry_cache_uses_total"),
            ),
        ),
    ),
    ("k2_log_", "k2_kafka_", "k2_schema_", "k2_registry_"),
)

DEGRADATION = Board(
    "k2-degradation",
    "k2 / Degradation",
    "What is given up under load, since when, and whether it came back.",
    (
        (
            "Pressure",
            (
                lines("Records behind", "k2_writer_lag_records"),
                lines("Oldest record that is behind", "k2_writer_lag_seconds"),
                lines("Queue in use", "k2_ingest_queue_fill_ratio"),
            ),
        ),
    ),
    ("k2_writer_degradation_", "k2_writer_shed_", "k2_writer_memory_", "k2_degradation_", "k2_backfill_"),
)

BOARDS = (OVERVIEW, INGEST, WRITER, SERVE, LOG, DEGRADATION)


def named() -> set[str]:
    """Metrics that a panel names."""
    return {name for board in BOARDS for _, panels in board.rows for panel in panels for name in panel.metrics}


def rows_of(board: Board) -> list[tuple[str, tuple[Panel, ...]]]:
    """A board's rows, and one of what no panel names: a new metric is on a dashboard from the start."""
    left = [name for name in CATALOGUE if name not in named() and _home(name) is board]
    further = tuple(lines(_titled(name), name) for name in left)
    return [*board.rows, ("Further", further)] if further else list(board.rows)


def _home(name: str) -> Board:
    """The board with the longest beginning that fits."""
    fits = [(len(begin), n) for n, board in enumerate(BOARDS) for begin in board.takes if name.startswith(begin)]
    return BOARDS[max(fits)[1]] if fits else OVERVIEW


def _titled(name: str) -> str:
    words = name.removeprefix("k2_").removesuffix("_total").replace("_", " ")
    return words[:1].upper() + words[1:]
