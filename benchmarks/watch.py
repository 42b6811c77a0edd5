"""Watching processes from outside: CPU time and memory by psutil, HTTP requests on one connection."""

from __future__ import annotations

import http.client
import json
import statistics
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self

import psutil

KEY = "benchmark-key-of-no-worth"
MB = 1e6


class Beside(ABC):
    """Looks at something in a thread, until the block ends."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @abstractmethod
    def _look(self) -> None:
        """Until `_ended` is set."""


class Watched(Beside):
    """Samples memory of some processes by name; CPU time on demand."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self.rss: dict[str, list[float]] = {name: [] for name in pids}
        super().__init__()

    def cpu(self) -> dict[str, float]:
        """CPU seconds of each so far."""
        times = {name: process.cpu_times() for name, process in self._processes.items()}
        return {name: t.user + t.system for name, t in times.items()}

    def memory(self, name: str) -> float:
        """Largest resident memory seen, MB."""
        return max(self.rss[name])

    def growth(self, name: str) -> float:
        """Of the second half of the time: last fifth of the samples against its first, as a ratio of medians."""
        late = self.rss[name][len(self.rss[name]) // 2 :]
        fifth = max(1, len(late) // 5)
        return statistics.median(late[-fifth:]) / statistics.median(late[:fifth])

    def _look(self) -> None:
        while not self._ended.wait(0.25):
            for name, process in self._processes.items():
                try:
                    self.rss[name].append(process.memory_info().rss / MB)
                except psutil.NoSuchProcess:
                    return


class Api:
    """GETs on one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body."""
        self._connection.request("GET", path, headers={"X-API-Key": KEY})
        with self._connection.getresponse() as answer:
            return answer.status, answer.read()

    def close(self) -> None:
        self._connection.close()


def wait_until(holds: Callable[[], bool], limit_s: float) -> float:
    """Seconds until something holds.

    Raises:
        TimeoutError: It took longer than the limit.
    """
    start = time.monotonic()
    while not holds():
        if time.monotonic() > start + limit_s:
            raise TimeoutError(f"waited {limit_s:g} s")
        time.sleep(0.05)
    return time.monotonic() - start


def wait_answered(port: int, path: str, limit_s: float) -> float:
    """Seconds until a request is answered with 200."""
    start = time.perf_counter()
    while True:
        api = Api(port)
        try:
            if api.get(path)[0] == 200:
                return time.perf_counter() - start
        except OSError:
            pass
        finally:
            api.close()
        if time.perf_counter() - start > limit_s:
            raise TimeoutError(f"GET {path} on port {port} was not answered within {limit_s:g} s")
        time.sleep(0.02)


def asked_regularly(port: int, paths: list[str], rate: float, seconds: float) -> tuple[list[float], list[float]]:
    """Answer times of GETs at a rate, ms, and ages of the newest row in each answer since it was received, ms."""
    api, taken, ages = Api(port), [], []
    start = time.perf_counter()
    for n in range(int(seconds * rate)):
        time.sleep(max(0.0, start + n / rate - time.perf_counter()))
        began = time.perf_counter()
        status, body = api.get(paths[n % len(paths)])
        taken.append(1e3 * (time.perf_counter() - began))
        now_us = time.time() * 1e6
        if status != 200:
            raise RuntimeError(f"{status}: {body[:500]!r}")
        rows: list[dict[str, Any]] = json.loads(body)["trades"]
        if rows:
            ages.append((now_us - rows[0]["received_timestamp_us"]) / 1e3)
    api.close()
    return taken, ages


def p50_p99(values: list[float]) -> tuple[float, float]:
    quantiles = statistics.quantiles(values, n=100)
    return quantiles[49], quantiles[98]
