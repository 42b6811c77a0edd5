"""What all connections of one feed share: the feed itself, the queue, the budget, the counts."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from k2core.clock import Clock
from k2core.feed.dialer import Dialer
from k2core.feed.pacing import ConnectBudget
from k2core.feed.queue import FrameQueue
from k2core.feed.settings import FeedSettings
from k2core.interfaces.connector import WebSocketFeed
from k2core.interfaces.frames import Subscription
from k2core.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from k2core.feed.connection import Connection


@dataclass
class Counts:
    """Messages of one connection, or of all. Exact: received = passed + control; `refused` never came whole."""

    received: int = 0
    passed: int = 0
    control: int = 0
    refused: int = 0


@dataclass
class Totals(Counts):
    """What happened since the start, over all connections."""

    connects: int = 0
    failed_attempts: int = 0
    reconnects: int = 0
    rollovers: int = 0
    unacknowledged: int = 0
    overload_cuts: int = 0
    last_error: str = ""


@dataclass(kw_only=True)
class FeedState:
    """Shared by the connections of a feed; only the event loop touches it."""

    feed: WebSocketFeed
    settings: FeedSettings
    clock: Clock
    logger: logging.Logger
    metrics: Metrics
    exchange: str
    dialer: Dialer
    rng: random.Random
    budget: ConnectBudget
    queue: FrameQueue
    numbers: Iterator[int] = field(default_factory=itertools.count)
    totals: Totals = field(default_factory=Totals)
    unknown: frozenset[Subscription] = frozenset()
    connections: dict[int, Connection] = field(default_factory=dict)
    keepers: set[asyncio.Task[Any]] = field(default_factory=set)
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def count(self, outcome: str, n: int = 1) -> None:
        """Count frames that the normalizer never sees: `control`, `refused`."""
        self.metrics.add("k2_ingest_frames_total", n, exchange=self.exchange, outcome=outcome)

    def not_data(self, messages: list[bytes]) -> list[int]:
        """Indices of messages that the feed does not know as data; all of them where it fails."""
        is_data = self.feed.is_data
        try:
            return [at for at, message in enumerate(messages) if not is_data(message)]
        except Exception:
            self.logger.exception("%s: is_data failed; its frames go to the normalizer", type(self.feed).__name__)
            return list(range(len(messages)))

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Run what connects and asks until the feed is closed."""
        self._spawn(work, self.keepers)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run what ends by itself, with its connection."""
        self._spawn(work, self.tasks)

    def _spawn(self, work: Coroutine[Any, Any, None], among: set[asyncio.Task[Any]]) -> None:
        def finished(done: asyncio.Task[Any]) -> None:
            among.discard(done)
            if not done.cancelled() and (error := done.exception()):
                self.queue.fail(error)  # whoever reads the feed gets it

        task = asyncio.create_task(work)
        among.add(task)
        task.add_done_callback(finished)
