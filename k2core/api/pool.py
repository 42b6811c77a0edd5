"""Queries run in threads of their own, never on the event loop; more than may wait are refused at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from k2core.config.settings import QuerySettings
from k2core.errors import QueryError
from k2core.telemetry.metrics import Metrics

T = TypeVar("T")


class QueryPool:
    """Threads for as many queries as may run and wait.

    Args:
        settings: `concurrent` and `waiting`.
        metrics: Where those inside are counted.
    """

    def __init__(self, settings: QuerySettings, metrics: Metrics | None = None) -> None:
        self._metrics = metrics or Metrics()
        self._most = settings.concurrent + settings.waiting
        self._threads = ThreadPoolExecutor(self._most, thread_name_prefix="query")
        self._inside = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking work.

        Raises:
            QueryError: `overloaded`.
        """
        if self._inside >= self._most:
            raise QueryError("too many queries at once; try again", kind="overloaded", status=503, retry_after=1)
        self._count(1)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._count(-1)

    def _count(self, more: int) -> None:
        self._inside += more
        self._metrics.set("k2_serve_queries_inside", self._inside)

    def close(self) -> None:
        """Let running work end; start none."""
        self._threads.shutdown(wait=False, cancel_futures=True)
