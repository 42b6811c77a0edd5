"""`FeedConnector`: runs a `WebSocketFeed` as a `Connector`.

Who counts what: every text or binary message gets the next number of its connection, from 0 without holes. Messages
that the feed classifies as acknowledgement, refusal, heartbeat or closing end here (`k2_ingest_frames_total` with
outcome `control`); all others, also those that nobody understands, are passed on, so that received = passed + control
at any time. A message beyond the size limit is never received: outcome `refused`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any

from k2core.clock import Clock
from k2core.errors import ConfigError, ConnectorError
from k2core.feed.dialer import Dialer, TcpDialer
from k2core.feed.pacing import ConnectBudget
from k2core.feed.queue import FrameQueue
from k2core.feed.settings import FeedSettings
from k2core.feed.shard import Shard
from k2core.feed.shared import FeedState
from k2core.feed.wire import address
from k2core.interfaces.connector import Connector, RestClient, WebSocketFeed
from k2core.interfaces.frames import FrameBatch, Subscription
from k2core.telemetry.metrics import Metrics


class FeedConnector(Connector):
    """Drives a feed. An async context manager; connects when `frames()` is first asked.

    Args:
        feed: The exchange's dialect.
        clock: Receive times and timers; its monotonic time must run as the event loop's does.
        logger: Named for the connector.
        metrics: Where frames and connections are counted.
        exchange: The market's name, for metrics.
        settings: See there.
        dialer: Opens sockets; real ones by default.
        rest: For the feed's `check`; `HttpRest` by default.
        rng: Jitter; a seeded one repeats a run.
    """

    def __init__(
        self,
        feed: WebSocketFeed,
        clock: Clock,
        logger: logging.Logger,
        metrics: Metrics,
        exchange: str,
        settings: FeedSettings | None = None,
        *,
        dialer: Dialer | None = None,
        rest: RestClient | None = None,
        rng: random.Random | None = None,
    ) -> None:
        settings, limits = settings or FeedSettings(), feed.limits
        self._rest, self._shards, self._closed = rest, list[Shard](), False
        self._starting: asyncio.Task[None] | None = None
        self._state = FeedState(
            feed=feed,
            settings=settings,
            clock=clock,
            logger=logger,
            metrics=metrics,
            exchange=exchange,
            dialer=dialer or TcpDialer(),
            rng=rng or random.Random(),  # noqa: S311 - jitter, no secret
            budget=ConnectBudget(limits.connects_per_window, limits.connect_window, clock),
            queue=FrameQueue(settings.queue_frames, settings.queue_bytes, settings.batch_frames),
        )

    async def frames(self) -> AsyncIterator[FrameBatch]:
        """Frames as they come, until `close`; then what is still queued. One reader only.

        Raises:
            ConfigError: The feed asks for nothing, or its address is none.
        """
        state = self._state
        if not await self._begun():
            return
        while (batch := await state.queue.get()) is not None:
            self._measure(batch)
            yield batch

    def _measure(self, batch: FrameBatch) -> None:
        state = self._state
        queue, gauge, exchange = state.queue, state.metrics.set, state.exchange
        left_out = len(state.unknown) + sum(len(shard.wanted.refused) for shard in self._shards)
        gauge("k2_ingest_queue_frames", queue.frames, exchange=exchange)
        gauge("k2_ingest_queue_bytes", queue.bytes, exchange=exchange)
        gauge("k2_ingest_queue_fill_ratio", queue.fill, exchange=exchange)
        gauge("k2_ingest_subscriptions_left_out", left_out, exchange=exchange)
        gauge("k2_ingest_last_frame_timestamp_seconds", batch.received_ns[-1] / 1e9, exchange=exchange)

    async def _begun(self) -> bool:
        """Start; False where `close` came first: an exchange that does not answer must not hold it up."""
        if self._closed:
            return False
        self._starting = asyncio.create_task(self._start())
        try:
            await asyncio.wait([self._starting])
        finally:
            self._starting.cancel()
        if self._starting.cancelled():
            return False
        self._starting.result()
        return True

    async def _start(self) -> None:
        state, wanted = self._state, list(dict.fromkeys(self._state.feed.subscriptions()))
        if not wanted:
            raise ConfigError(f"{state.exchange}: there is nothing to subscribe to; name symbols and data types")
        most = state.feed.limits.streams_per_connection
        for url in {state.feed.endpoint(wanted[at : at + most]) for at in range(0, len(wanted), most)}:
            address(url)
        if not await self._checked():
            state.keep(self._check_again())
        known = [s for s in wanted if s not in state.unknown] or wanted
        self._shards = [Shard(state, known[at : at + most]) for at in range(0, len(known), most)]
        for shard in self._shards:
            if not self._closed:
                state.keep(shard.run())

    async def _checked(self) -> bool:
        """Ask which subscriptions the exchange knows; False where it must be asked again."""
        state = self._state
        try:
            async with asyncio.timeout(state.settings.check_timeout_s):
                unknown = frozenset(await state.feed.check(self._client()))
        except (ConnectorError, OSError) as error:
            state.logger.warning("could not ask which symbols %s knows: %s", state.exchange, str(error) or "no answer")
            return False
        except ConfigError:
            raise
        except Exception:
            state.logger.exception("%s: check failed", type(state.feed).__name__)
            return False
        if unknown:
            names = ", ".join(sorted(f"{s.data_type} of {s.symbol}" for s in unknown))
            state.logger.error("%s does not know %s; left out: correct `symbols`", state.exchange, names)
        state.unknown = unknown
        return unknown < frozenset(state.feed.subscriptions()) or not unknown

    async def _check_again(self) -> None:
        while True:
            await asyncio.sleep(self._state.settings.check_retry_s)
            if await self._checked():
                return

    def _client(self) -> RestClient:
        if self._rest is None:
            from k2core.feed.rest import HttpRest

            self._rest = HttpRest(self._state.logger)
        return self._rest

    def facts(self) -> Mapping[str, Any]:
        """Counts, connections, and which subscriptions are left out and why."""
        state, totals = self._state, self._state.totals
        refused: dict[Subscription, str] = {}
        for shard in self._shards:
            refused |= shard.wanted.refused
        return {
            "connections": len(state.connections),
            **{f"frames_{n}": getattr(totals, n) for n in ("received", "passed", "control", "refused")},
            **{n: getattr(totals, n) for n in ("connects", "failed_attempts", "reconnects", "rollovers")},
            "unacknowledged": totals.unacknowledged,
            "overload_cuts": totals.overload_cuts,
            "last_error": totals.last_error,
            "queue_frames": state.queue.frames,
            "queue_pauses": state.queue.pauses,
            "unknown_subscriptions": [f"{s.symbol} {s.data_type}" for s in sorted(state.unknown)],
            "refused_subscriptions": {f"{s.symbol} {s.data_type}": why for s, why in sorted(refused.items())},
        }

    async def close(self) -> None:
        """Close every connection in order, bounded; `frames()` gives what is queued and ends."""
        if self._closed:
            return
        self._closed = True
        state = self._state
        if self._starting is not None:
            self._starting.cancel()
        for task in (keepers := list(state.keepers)):
            task.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        await asyncio.gather(*(c.retire() for c in state.connections.values()))
        await asyncio.gather(*state.tasks, return_exceptions=True)
        state.queue.close()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
