"""Appending to the log from a worker thread, and waiting while it cannot take more.

Survives: a full disk or a log at its size limit, a lock that another process holds, a broker that is away for a while.
The batch is kept, in order, and tried again for ever; meanwhile nothing is read, which pushes back to the socket.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

from k2core.clock import Clock
from k2core.errors import BrokerError, LogBusyError, LogFullError, Transient
from k2core.interfaces.broker import EncodedBatch, Producer
from k2core.telemetry.metrics import Metrics

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 5.0


class Appending:
    """One producer and the one thread that may use it.

    Args:
        producer: Appends.
        clock: How long a stall lasted.
        metrics: `k2_ingest_log_stalls_total`.
        logger: Says when the log refuses, and when it takes again.
        thread: Runs one thing after the other; a thread of its own by default, the caller's in the simulation.
        timed: Told how long making and appending a batch took.
    """

    def __init__(
        self,
        producer: Producer,
        clock: Clock,
        metrics: Metrics,
        logger: logging.Logger,
        thread: Executor | None = None,
        timed: Callable[[str, float], None] = lambda name, seconds: None,
    ) -> None:
        self._timed = timed
        self._producer, self._clock, self._metrics, self._logger = producer, clock, metrics, logger
        self._thread = thread or ThreadPoolExecutor(1, thread_name_prefix="ingest")

    async def append(self, make: Callable[[], Sequence[EncodedBatch]]) -> None:
        """Make batches and append them, both in the thread; returns when they are durable.

        Raises:
            BrokerError: The log refuses for good.
        """
        pause, since = FIRST_PAUSE_S, self._clock.monotonic()
        made: list[Sequence[EncodedBatch]] = []
        while not await self._try(make, made):
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
        if pause > FIRST_PAUSE_S:
            self._logger.info("the log takes records again, after %.1f s", self._clock.monotonic() - since)

    async def _try(self, make: Callable[[], Sequence[EncodedBatch]], made: list[Sequence[EncodedBatch]]) -> bool:
        def work() -> None:
            began = self._clock.monotonic()
            if not made:
                made.append(make())
                self._timed("k2_ingest_normalize_seconds", self._clock.monotonic() - began)
            if made[0]:
                began = self._clock.monotonic()
                self._producer.produce(made[0])
                self._timed("k2_ingest_append_seconds", self._clock.monotonic() - began)

        again = bool(made)
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except BrokerError as error:
            if not isinstance(error, Transient):
                raise
            reason = {LogFullError: "full", LogBusyError: "busy"}.get(type(error), "away")
            self._metrics.add("k2_ingest_log_stalls_total", reason=reason)
            if not again:
                self._logger.error(
                    "the log takes no records (%s): %s; capture waits and goes on by itself", reason, error
                )
            return False
        return True

    def close(self) -> None:
        """Let the thread end once it has nothing to do."""
        self._thread.shutdown(wait=False)
