"""One WebSocket connection: handshake, frames into the queue, answers checked, two liveness timers, the closing.

All frames of one socket read are taken at once, with one receive time. Survives: half-open peers (no frame of any
kind), feeds that fall silent (no data), refused and unanswered subscriptions, oversize frames, a reader that is slower
than the exchange (the socket is then not read, and the timers stand still), a feed whose code fails.
"""

from __future__ import annotations

import asyncio
from functools import partial

from k2core.errors import ConnectorError
from k2core.feed.dialer import Link, LinkEvents
from k2core.feed.liveness import Liveness
from k2core.feed.pacing import ControlPacer
from k2core.feed.queue import Run
from k2core.feed.shared import Counts, FeedState
from k2core.feed.subscribing import Asked, Group, Subscribing, Wanted
from k2core.feed.wire import Received, Wire
from k2core.interfaces.connector import FrameKind, Request

CONTROL = frozenset({FrameKind.ACK, FrameKind.REFUSED, FrameKind.HEARTBEAT, FrameKind.CLOSING})
"""Kinds that end here. `OTHER` goes on to the normalizer: it alone can tell an unknown message from a broken one."""
BY_US = "closed by us"
OVERLOAD_S = 5.0
"""A connection that ends so soon after its reading was paused was cut because we were slow."""


class Connection(LinkEvents):
    """A connection; made for one use, on a running event loop.

    Args:
        shared: What all connections of the feed share.
        wanted: The shard's subscriptions.
        groups: What to ask for, without unknown ones.

    Attributes:
        number: Its number within this process.
        ended: Why it ended, in words.
        fed: Done once every subscription was answered and one of them accepted, or data came.
        leaving: Done once the exchange said that it will close.
    """

    def __init__(self, shared: FeedState, wanted: Wanted, groups: list[Group]) -> None:
        feed, loop = shared.feed, asyncio.get_running_loop()
        self._shared, self._groups = shared, groups
        self.number, self.counts = next(shared.numbers), Counts()
        self.url = feed.endpoint([s for g in groups for s in g])
        self._wire = Wire(self.url, feed.limits.max_frame_bytes, compression=shared.settings.compression)
        self._pacer = ControlPacer(feed.limits.control_per_second, self._write)
        self._subscribing = Subscribing(feed, wanted, self._request, shared.logger)
        self._live = Liveness(feed.limits, self._subscribing, shared.clock.monotonic())
        self._link: Link | None = None
        self._paused, self._resumed_at = False, -OVERLOAD_S
        self._retiring = False
        self._opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[str] = loop.create_future()
        self.fed: asyncio.Future[None] = loop.create_future()
        self.leaving: asyncio.Future[None] = loop.create_future()

    @property
    def alive(self) -> bool:
        """Whether frames may still come."""
        return not self.ended.done()

    @property
    def stable(self) -> bool:
        """Whether it has lived long enough, with data, to be trusted."""
        age = self._shared.clock.monotonic() - self._live.opened_at
        return self._live.had_data and age >= self._shared.settings.stable_s

    async def open(self) -> None:
        """Connect, shake hands, begin to subscribe.

        Raises:
            ConnectorError: The exchange refused; `retry_after` where it named one.
            OSError: No connection, or not in time.
        """
        uri = self._wire.uri
        try:
            async with asyncio.timeout(self._shared.settings.connect_timeout_s):
                self._link = await self._shared.dialer.dial(uri.host, uri.port, secure=uri.secure, events=self)
                self._link.write(self._wire.opening())
                await self._opened
            self._live.opened_at = self._shared.clock.monotonic()
            self._live.restart(self._live.opened_at)
            self._subscribing.begin(self._groups)
        except BaseException as error:
            self._opened.cancel()
            self._end(f"not opened: {error}", abort=True)
            raise

    async def watch(self) -> str:
        """Enforce the timers until the connection ends; returns why it did."""
        while self.alive:
            now = self._shared.clock.monotonic()
            if self._paused:
                self._live.restart(now)
            elif why := self._live.overdue(now):
                self._shared.totals.unacknowledged += not self._subscribing.done
                self._end(why, abort=True)
                break
            await asyncio.wait([self.ended], timeout=self._live.next_look(now))
        return self.ended.result()

    async def retire(self) -> None:
        """Close in order; what the exchange sent before its answer still counts. Bounded."""
        self._retiring = True
        self._write(self._wire.close())
        self._pacer.stop()
        await asyncio.wait([self.ended], timeout=self._shared.settings.close_timeout_s)
        self._end(BY_US, abort=True)

    def received(self, data: bytes) -> None:
        """Take what one read brought."""
        if not self.alive:
            return
        now_ns, self._live.frame_at = self._shared.clock.now_ns(), self._shared.clock.monotonic()
        try:
            found = self._wire.receive(data)
        except ConnectorError as error:
            self._refuse(error)
            return
        if found.messages:
            self._take(found.messages, now_ns)
        if found.reply or found.pings or found.opened or found.ended:
            self._answer(found)

    def lost(self, error: Exception | None) -> None:
        """The link is gone."""
        try:
            found = self._wire.receive_eof()
        except ConnectorError as refusal:
            self._refuse(refusal)
            return
        self._end(f"lost: {error}" if error else found.ended or "the exchange ended the connection")

    def _refuse(self, error: ConnectorError) -> None:
        if not self._opened.done():
            self._opened.set_exception(error)
        self._end(str(error), abort=True)

    def _answer(self, found: Received) -> None:
        if found.opened and not self._opened.done():
            self._opened.set_result(None)
        for ping in found.pings:
            self._pacer.pong(partial(self._wire.pong, ping))
        self._write(found.reply)
        if found.refused:
            self.counts.refused += 1
            self._shared.totals.refused += 1
            self._shared.count("refused")
        if found.ended:
            self._end(found.ended)

    def _take(self, messages: list[bytes], now_ns: int) -> None:
        first, start = self.counts.received, 0
        self.counts.received += len(messages)
        self._shared.totals.received += len(messages)
        unknown = self._shared.not_data(messages)
        if len(unknown) < len(messages):
            self._live.data_at, self._live.had_data = self._live.frame_at, True
        for at in unknown:
            if self._is_control(messages[at]):
                self._pass(messages[start:at], first + start, now_ns)
                start = at + 1
        self._pass(messages[start:] if start else messages, first + start, now_ns)
        if not self.fed.done() and self._subscribing.done and (self._subscribing.accepted or self._live.had_data):
            self.fed.set_result(None)

    def _pass(self, frames: list[bytes], first: int, now_ns: int) -> None:
        if not frames:
            return
        self.counts.passed += len(frames)
        self._shared.totals.passed += len(frames)
        queue = self._shared.queue
        queue.push(self.number, Run(first, frames, now_ns))
        if queue.full and not self._paused and self._link:
            self._paused = True
            self._shared.metrics.add("k2_ingest_queue_pauses_total", exchange=self._shared.exchange)
            self._link.pause()
            queue.wait_for_room(self._resume)

    def _resume(self) -> None:
        self._paused, self._resumed_at = False, self._shared.clock.monotonic()
        self._live.restart(self._resumed_at)
        if self._link:
            self._link.resume()

    def _is_control(self, frame: bytes) -> bool:
        try:
            reply = self._shared.feed.classify(frame)
            if reply.kind in (FrameKind.ACK, FrameKind.REFUSED):
                self._subscribing.reply(reply, accepted=reply.kind is FrameKind.ACK)
        except Exception as error:
            self._shared.logger.exception("%s failed on a control frame", type(self._shared.feed).__name__)
            self._end(f"the feed's code failed: {error}", abort=True)
            return False
        if reply.kind is FrameKind.CLOSING and not self.leaving.done():
            self.leaving.set_result(None)
        if reply.kind not in CONTROL:
            return False
        self.counts.control += 1
        self._shared.totals.control += 1
        self._shared.count("control")
        return True

    def _request(self, request: Request, asked: Asked) -> None:
        def sent() -> None:
            asked.sent_at = self._shared.clock.monotonic()

        self._pacer.send(partial(self._wire.text, request.payload), sent)

    def _write(self, data: bytes) -> None:
        if data and self._link and self.alive:
            self._link.write(data)

    def _end(self, why: str, *, abort: bool = False) -> None:
        if not self.alive:
            return
        if self._retiring:
            why = BY_US  # however the exchange answers that, or does not
        slow = not self._retiring and (self._paused or self._shared.clock.monotonic() - self._resumed_at < OVERLOAD_S)
        self._shared.totals.overload_cuts += slow
        self.ended.set_result(f"{why} (cause: overload, we read too slowly)" if slow else why)
        self._pacer.stop()
        if self._link:
            (self._link.abort if abort else self._link.close)()
