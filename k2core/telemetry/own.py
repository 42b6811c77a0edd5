"""What a process measures of itself, when it is asked: CPU, memory, descriptors, threads, disks."""

from __future__ import annotations

import os
import resource
import shutil
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from k2core.telemetry.metrics import Metrics


class Own:
    """Sets the gauges of one process; give its `refresh` to `Metrics.collect`.

    Args:
        metrics: Where they are set.
        process: `ingest`, `write`, `serve`, `up`.
        version: Of k2.
        started: Unix time of the start, seconds.
        places: By setting, the paths whose disks are measured.
    """

    def __init__(
        self, metrics: Metrics, process: str, version: str, started: float, places: Mapping[str, Path]
    ) -> None:
        self._metrics, self._places = metrics, places
        self._cpu = 0.0
        self._lock = threading.Lock()
        python = ".".join(map(str, sys.version_info[:3]))
        metrics.set("k2_build_info", 1, process=process, version=version, python=python)
        metrics.set("k2_process_start_timestamp_seconds", started)

    def refresh(self) -> None:
        """Measure."""
        metrics = self._metrics
        with self._lock:
            used = resource.getrusage(resource.RUSAGE_SELF)
            cpu = used.ru_utime + used.ru_stime
            metrics.add("k2_process_cpu_seconds_total", max(0.0, cpu - self._cpu))
            self._cpu = max(cpu, self._cpu)
        metrics.set("k2_process_resident_memory_bytes", _resident(used.ru_maxrss))
        metrics.set("k2_process_threads", threading.active_count())
        metrics.set("k2_process_max_fds", resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        if (count := _descriptors()) is not None:
            metrics.set("k2_process_open_fds", count)
        for name, path in self._places.items():
            self._disk(name, path)

    def _disk(self, name: str, path: Path) -> None:
        folder = path
        while not folder.is_dir() and folder != folder.parent:
            folder = folder.parent
        try:
            found = shutil.disk_usage(folder)
        except OSError:
            return  # a disk that is away has no figures; whoever writes to it says what is wrong
        self._metrics.set("k2_disk_free_bytes", found.free, place=name)
        self._metrics.set("k2_disk_size_bytes", found.total, place=name)


def _resident(peak: int) -> int:
    """Bytes in memory now, on Linux; elsewhere the most there ever were."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return peak * (1 if sys.platform == "darwin" else 1024)


def _descriptors() -> int | None:
    for folder in ("/proc/self/fd", "/dev/fd"):
        if os.path.isdir(folder):
            return len(os.listdir(folder))
    return None
