"""What every process tells of itself, and `k2 up` of its children."""

from __future__ import annotations

from k2core.telemetry.declared.sets import UP
from k2core.telemetry.metric import Metric

_CHILD = {"child": ("ingest", "write", "serve")}

PROCESS = (
    Metric("k2_build_info", "gauge", ("process", "version", "python"), "1; the labels tell what runs"),
    Metric("k2_process_start_timestamp_seconds", "gauge", (), "when the process started, Unix time"),
    Metric("k2_process_heartbeat_timestamp_seconds", "gauge", (), "when its main loop last said how it is, Unix time"),
    Metric("k2_process_ready", "gauge", (), "1 while it does its work, 0 while it starts, fails or ends"),
    Metric("k2_process_cpu_seconds_total", "counter", (), "CPU time, user and system"),
    Metric("k2_process_resident_memory_bytes", "gauge", (), "memory in use (RSS)"),
    Metric("k2_process_open_fds", "gauge", (), "open file descriptors"),
    Metric("k2_process_max_fds", "gauge", (), "file descriptors that may be open"),
    Metric("k2_process_threads", "gauge", (), "threads"),
    Metric(
        "k2_process_log_lines_total",
        "counter",
        ("level",),
        "log lines of k2's own by level",
        values={"level": ("info", "warning", "error")},
    ),
    Metric("k2_disk_free_bytes", "gauge", ("place",), "space left where a setting's path leads"),
    Metric("k2_disk_size_bytes", "gauge", ("place",), "size of the file system where a setting's path leads"),
    Metric(
        "k2_metrics_label_overflows_total",
        "counter",
        ("metric",),
        "values counted under `other`, for the metric had too many label values",
        initial={"metric": ("k2_ingest_dead_letters_total", "k2_writer_dead_letters_total")},
        rare=True,
    ),
    Metric(
        "k2_up_child_running", "gauge", ("child",), "1 while the child's process lives", UP, values=_CHILD, zero=True
    ),
    Metric("k2_up_child_starts_total", "counter", ("child",), "starts of a child", UP, values=_CHILD),
    Metric(
        "k2_up_child_deaths_total",
        "counter",
        ("child", "reason"),
        "ends of a child that nobody asked for: died, wedged, fenced, settings",
        UP,
        values=_CHILD | {"reason": ("died", "wedged", "fenced", "settings")},
        rare=True,
    ),
)
