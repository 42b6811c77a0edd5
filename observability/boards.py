"""The dashboards: which metrics stand together, in which order. What no panel names gets one of its own, at the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from k2core.telemetry.catalogue import CATALOGUE
from observability.queries import Query, queries, unit


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Args:
        title: What it shows.
        metrics: Of the catalogue; of one unit.
        by: Labels to tell apart; None: all.
        figure: One large number instead of lines.
    """

    title: str
    metrics: tuple[str, ...]
    by: tuple[str, ...] | None = None
    figure: bool = False

    @property
    def unit(self) -> str:
        """Grafana's."""
        return unit(self.metrics[0])

    @property
    def description(self) -> str:
        """Each metric with its help."""
        return "\n".join(f"{name}: {CATALOGUE[name].help}." for name in self.metrics)

    def queries(self) -> Iterator[Query]:
        """Of all its metrics."""
        for name in self.metrics:
            for query in queries(name, self.by):
                short = name.removeprefix("k2_").removesuffix("_total")
                yield Query(query.expr, f"{short} {query.legend}") if len(self.metrics) > 1 else query


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard.

    Args:
        uid: Its file and its address.
        title: In Grafana.
        about: What it is for.
        rows: Panels by heading.
        takes: Beginnings of the names that it shows where no panel names them.
    """

    uid: str
    title: str
    about: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]
    takes: tuple[str, ...] = ()


def figure(title: str, name: str, *by: str) -> Panel:
    """A large number."""
    return Panel(title, (name,), by, figure=True)


def lines(title: str, *metrics: str, by: tuple[str, ...] | None = None) -> Panel:
    """Lines over time."""
    return Panel(title, metrics, by)


OVERVIEW = Board(
    "k2-overview",
    "k2 / Overview",
    "Whether k2 works: how fresh answers are, what is behind, missing or refused, and whether processes live.",
    (
        (
            "Now",
            (
                figure("Last frame", "k2_ingest_last_frame_timestamp_seconds"),
                figure("Last commit", "k2_writer_last_commit_timestamp_seconds"),
                figure("Oldest uncommitted record", "k2_writer_lag_seconds"),
                figure("Missing ids", "k2_writer_missing_ids"),
                figure("Degradation", "k2_degradation_level"),
                figure("Ready", "k2_process_ready", "instance"),
            ),
        ),
        (
            "From the exchange to an answer",
            (
                lines("Exchange to receipt", "k2_ingest_exchange_delay_seconds", by=("exchange",)),
                lines("Receipt to log", "k2_ingest_append_delay_seconds"),
                lines("Log to table", "k2_writer_commit_delay_seconds"),
                lines("Log to memory", "k2_serve_tail_delay_seconds"),
                lines("Receipt to answers", "k2_serve_freshness_seconds"),
                lines("Records", "k2_ingest_records_total", by=("exchange", "data_type")),
            ),
        ),
        (
            "Processes",
            (
                lines("CPU", "k2_process_cpu_seconds_total", by=("instance",)),
                lines("Memory", "k2_process_resident_memory_bytes", by=("instance",)),
                lines("Log lines", "k2_process_log_lines_total", by=("instance", "level")),
                lines("File descriptors", "k2_process_open_fds", "k2_process_max_fds", by=("instance",)),
                lines("Threads", "k2_process_threads", by=("instance",)),
                lines("Space on disk", "k2_disk_free_bytes", "k2_disk_size_bytes", by=("place",)),
                lines("Last word of the main loop", "k2_process_heartbeat_timestamp_seconds", by=("instance",)),
                lines("Up since", "k2_process_start_timestamp_seconds", by=("instance",)),
                lines("Versions", "k2_build_info", by=("instance", "process", "version", "python")),
                lines("Children that run", "k2_up_child_running"),
                lines("Starts of children", "k2_up_child_starts_total"),
                lines("Deaths of children", "k2_up_child_deaths_total"),
            ),
        ),
    ),
    ("k2_process_", "k2_up_", "k2_disk_", "k2_metrics_", "k2_build_"),
)

INGEST = Board(
    "k2-ingest",
    "k2 / Capture",
    "Connections to exchanges, what they send, how long it takes into the log, and what is refused.",
    (
        (
            "Connections",
            (
                lines("Open", "k2_ingest_connections"),
                lines("Opened and failed", "k2_ingest_connects_total", "k2_ingest_connect_failures_total"),
                lines("Made again, by cause", "k2_ingest_reconnects_total"),
                lines("Replaced while they ran", "k2_ingest_rollovers_total"),
                lines("Subscriptions left out", "k2_ingest_subscriptions_left_out"),
                lines("Last frame", "k2_ingest_last_frame_timestamp_seconds"),
            ),
        ),
        (
            "Frames and records",
            (
                lines("Frames by outcome", "k2_ingest_frames_total"),
                lines("Bytes", "k2_ingest_frame_bytes_total", "k2_ingest_record_bytes_total"),
                lines("Last record", "k2_ingest_last_record_timestamp_seconds"),
                lines("Frames in a batch", "k2_ingest_batch_frames"),
                lines("Normalizing a batch", "k2_ingest_normalize_seconds"),
                lines("Appending a batch", "k2_ingest_append_seconds"),
            ),
        ),
        (
            "Pressure and refusals",
            (
                lines("Queue in use", "k2_ingest_queue_fill_ratio"),
                lines("Queue, frames", "k2_ingest_queue_frames"),
                lines("Queue, bytes", "k2_ingest_queue_bytes"),
                lines("Sockets that were paused", "k2_ingest_queue_pauses_total"),
                lines("Appends tried again", "k2_ingest_log_stalls_total"),
                lines("Dead letters by reason", "k2_ingest_dead_letters_total"),
                lines("Failures of normalizers", "k2_ingest_normalizer_failures_total"),
                lines("Raw frames kept and lost", "k2_recording_frames_total"),
            ),
        ),
    ),
    ("k2_ingest_", "k2_recording_"),
)

WRITER = Board(
    "k2-writer",
    "k2 / Writer",
    "From the log into the tables: lag, commits, copies, holes, upkeep.",
    (
        (
            "Lag",
            (
                lines("Records behind", "k2_writer_lag_records", "k2_writer_waiting_records"),
                lines("Oldest record that is behind", "k2_writer_lag_seconds"),
                lines("Newest record committed", "k2_writer_last_record_timestamp_seconds"),
                lines("Records read", "k2_writer_read_records_total"),
                lines("Bytes read", "k2_writer_read_bytes_total"),
                lines("Records in a read", "k2_writer_poll_records"),
            ),
        ),
        (
            "Commits",
            (
                lines("Commits by outcome", "k2_writer_commits_total"),
                lines("A commit takes", "k2_writer_commit_seconds"),
                lines("Writing its files takes", "k2_writer_stage_seconds"),
                lines("Records by outcome", "k2_writer_records_total"),
                lines("Rows in a commit", "k2_writer_commit_rows"),
                lines("Files written", "k2_writer_files_total"),
                lines("Bytes written", "k2_writer_file_bytes_total"),
                lines("Tables by state", "k2_writer_pipelines"),
                lines("Steps tried again", "k2_writer_retries_total"),
            ),
        ),
        (
            "Completeness",
            (
                lines("Missing ids", "k2_writer_missing_ids"),
                lines("Holes", "k2_writer_holes"),
                lines("Passed, for the log had them no more", "k2_writer_gone_records"),
                lines("Dead letters by reason", "k2_writer_dead_letters_total"),
                lines("Rows without an enricher's columns", "k2_enricher_failures_total"),
            ),
        ),
        (
            "Partitions",
            (
                lines("Owned", "k2_writer_partitions_owned", by=("instance", "data_type")),
                lines("Taken over", "k2_writer_takeovers_total", by=("instance", "data_type")),
                lines("Lost to others", "k2_writer_partitions_lost_total", by=("instance", "data_type")),
            ),
        ),
        (
            "Copies",
            (
                lines("Ids claimed", "k2_dedup_claims_total"),
                lines("A claim takes", "k2_dedup_claim_seconds"),
                lines("A settle takes", "k2_dedup_settle_seconds"),
                lines("Ids looked up in the table", "k2_dedup_table_lookups_total"),
                lines("Entries in memory", "k2_dedup_window_entries"),
                lines("Partitions without the shared store", "k2_dedup_degraded"),
                lines("Losses of the shared store", "k2_dedup_degradations_total"),
                lines("Calls that the store refused", "k2_writer_dedup_errors_total"),
            ),
        ),
        (
            "Upkeep",
            (
                lines("Runs", "k2_maintenance_runs_total"),
                lines("A run takes", "k2_maintenance_seconds"),
                lines("Last success", "k2_maintenance_last_success_timestamp_seconds"),
                lines("What it did", "k2_maintenance_changes_total"),
            ),
        ),
    ),
    ("k2_writer_", "k2_dedup_", "k2_enricher_", "k2_maintenance_", "k2_redis_"),
)
