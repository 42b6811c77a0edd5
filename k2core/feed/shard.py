"""Keeps one connection alive for a share of the subscriptions, for ever: back-off, budget, make before break.

A connection that is about to be closed, or has reached its age, is replaced while it still runs: the new one must be
fed before the old one goes, and both yield meanwhile. The overlap's doubles have one identity and are dropped later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from k2core.errors import ConfigError, ConnectorError
from k2core.feed.connection import BY_US, Connection
from k2core.feed.pacing import Backoff
from k2core.feed.reasons import reason_of
from k2core.feed.shared import FeedState
from k2core.feed.subscribing import Wanted
from k2core.interfaces.frames import Subscription

AGE_SPREAD = 0.1
"""Connections are replaced up to a tenth before their age, each at another time."""


async def first_of(*signals: asyncio.Future[Any], within: float | None) -> None:
    """Wait for any of some signals, at most so many seconds."""
    await asyncio.wait(signals, timeout=within, return_when=asyncio.FIRST_COMPLETED)


class Shard:
    """One share of a feed's subscriptions."""

    def __init__(self, shared: FeedState, subscriptions: Sequence[Subscription]) -> None:
        settings = shared.settings
        self._shared = shared
        self._backoff = Backoff(settings.backoff_initial_s, settings.backoff_max_s, shared.rng)
        self.wanted = Wanted([tuple(subscriptions)])

    async def run(self) -> None:
        """Connect and stay connected. Ends only by cancellation, or with a `ConfigError`."""
        current = await self._connect(at_once=True)
        while True:
            await self._until_change(current)
            if current.alive:
                current = await self._replace(current)
            else:
                self._shared.totals.reconnects += 1
                why = reason_of(current.ended.result() if current.ended.done() else "")
                self._shared.metrics.add("k2_ingest_reconnects_total", exchange=self._shared.exchange, reason=why)
                current = await self._connect(at_once=False)

    async def _until_change(self, current: Connection) -> None:
        age = self._shared.feed.limits.max_age
        left = None if age is None else age * self._shared.rng.uniform(1 - AGE_SPREAD, 1)
        await first_of(current.ended, current.leaving, within=left)

    async def _replace(self, current: Connection) -> Connection:
        """Make before break. Gives the connection to go on with, which may have ended by then."""
        shared = self._shared
        shared.totals.rollovers += 1
        shared.metrics.add("k2_ingest_rollovers_total", exchange=shared.exchange)
        shared.logger.info("connection %d is replaced while it runs", current.number)
        fresh = await self._connect(at_once=current.stable)
        while current.alive and not await self._is_fed(fresh):
            fresh = await self._connect(at_once=False)
        if current.alive:
            await asyncio.wait([current.ended], timeout=shared.settings.overlap_s)
            shared.spawn(current.retire())
        return fresh

    async def _is_fed(self, fresh: Connection) -> bool:
        """Wait, bounded, until it brings what was asked for; in a quiet market being open must do."""
        await first_of(fresh.fed, fresh.ended, within=self._shared.settings.overlap_wait_s)
        return fresh.alive

    async def _connect(self, *, at_once: bool) -> Connection:
        """Try until it works.

        Raises:
            ConfigError: The feed's address is none.
        """
        while True:
            if not at_once:
                await asyncio.sleep(self._backoff.next())
            at_once = False
            groups = self.wanted.leave_out(self._shared.unknown)
            if not groups:
                await asyncio.sleep(self._shared.settings.check_retry_s)
                continue
            await self._shared.budget.acquire()
            connection = Connection(self._shared, self.wanted, groups)
            if await self._opened(connection):
                self._shared.connections[connection.number] = connection
                self._shared.spawn(self._look_after(connection))
                return connection

    async def _opened(self, connection: Connection) -> bool:
        shared = self._shared
        try:
            await connection.open()
        except ConfigError:
            raise
        except (ConnectorError, OSError) as error:
            wait = error.retry_after if isinstance(error, ConnectorError) else None
            if wait:
                shared.budget.hold(wait)
            asked = f"; it asks to wait {wait:g} s" if wait else ""
            shared.totals.last_error = (
                f"{connection.url.partition('?')[0]}: {str(error) or type(error).__name__}{asked}"
            )
            shared.logger.warning("no connection to %s; trying again", shared.totals.last_error)
        except Exception:
            shared.totals.last_error = f"{type(shared.feed).__name__} failed while connecting"
            shared.logger.exception("%s; trying again", shared.totals.last_error)
        else:
            shared.totals.connects += 1
            shared.logger.info("connection %d to %s is open", connection.number, connection.url.partition("?")[0])
            shared.metrics.add("k2_ingest_connects_total", exchange=shared.exchange)
            return True
        shared.totals.failed_attempts += 1
        shared.metrics.add("k2_ingest_connect_failures_total", exchange=shared.exchange)
        return False

    async def _look_after(self, connection: Connection) -> None:
        shared = self._shared
        self._gauge()
        try:
            why = await connection.watch()
        finally:
            shared.connections.pop(connection.number, None)
            self._gauge()
        if connection.stable:
            self._backoff.reset()
        if why != BY_US:
            shared.totals.last_error = why
        counts = connection.counts
        shared.logger.info("connection %d ended after %d frames: %s", connection.number, counts.received, why)

    def _gauge(self) -> None:
        shared = self._shared
        shared.metrics.set("k2_ingest_connections", len(shared.connections), exchange=shared.exchange)
