"""`FakeExchange`: a real WebSocket and REST server on loopback, on one port, that misbehaves on command.

It survives whatever its clients do; each fault that a script asks for hits exactly the connection it names. What was
written to which connection stands in `sent`, so that a test can say what had to arrive.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from k2core.testing.dialect import Dialect
from k2core.testing.speaking import DialectError, speak

if TYPE_CHECKING:
    from k2core.testing.served import ServedConnection

__all__ = ["Dialect", "Drop", "FakeExchange", "ServerLimits"]

Drop = Literal["close", "abort", "reset", "silent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """What the server enforces; None: no limit. Times in seconds.

    Args:
        streams_per_connection: A client that subscribes to more is disconnected (1008).
        control_per_second: A client that sends more messages within a second, pings and pongs included, is
            disconnected (1008).
        connects_per_window: More handshakes within `connect_window` are answered 429 with `Retry-After`.
        connect_window: See `connects_per_window`.
        ping_interval: The server pings each client so often; None: never.
        heartbeat_interval: The dialect's `heartbeat` is sent to each client so often; None: never.
        max_age: Connections are closed at this age.
    """

    streams_per_connection: int | None = None
    control_per_second: int | None = None
    connects_per_window: int | None = None
    connect_window: float = 300.0
    ping_interval: float | None = None
    heartbeat_interval: float | None = None
    max_age: float | None = None


class FakeExchange:
    """A scripted exchange; an async context manager.

    Args:
        dialect: The protocol it speaks.
        limits: What it enforces.
        compression: Whether it accepts permessage-deflate when a client offers it.
        ledger: Whether `sent` is kept; long runs switch it off, `counts["frames"]` counts on.
        port: 0 takes a free one.

    Attributes:
        sent: (connection number, frame) of all that was written, in order, control replies not included.
        received: (connection number, message) of all that clients sent.
        counts: `connects`, `refused`, `frames`, `control` (client messages, pings and pongs), `kicked`, `rest`.
        ack_delay: Seconds that replies to control messages wait.
        withhold_acks: Replies to so many control messages are never sent; counts down.
        refused_streams: Control messages that name one of them are refused.
        attempts: When each handshake came, accepted or not, on the monotonic clock.
        muted: While true the server writes nothing at all, pings neither.
        dialect_errors: What the dialect raised, in words, in order; see `speaking`.
    """

    def __init__(
        self,
        dialect: Dialect,
        *,
        limits: ServerLimits | None = None,
        compression: bool = False,
        ledger: bool = True,
        port: int = 0,
    ) -> None:
        self.dialect = dialect
        self.limits = limits or ServerLimits()
        self.port = port
        self.sent: list[tuple[int, bytes]] = []
        self.received: list[tuple[int, bytes]] = []
        self.counts: Counter[str] = Counter()
        self.ack_delay = 0.0
        self.withhold_acks = 0
        self.refused_streams: set[str] = set()
        self.muted = False
        self.dialect_errors: list[str] = []
        self.compression, self.ledger = compression, ledger
        self.refusals: deque[tuple[int, dict[str, str]]] = deque()
        self.rest_failures: deque[tuple[int, dict[str, str]]] = deque()
        self.connect_times: deque[float] = deque()
        self.attempts: list[float] = []
        self._changed = asyncio.Event()
        self._served: dict[int, ServedConnection] = {}
        self._server: Any = None

    @property
    def url(self) -> str:
        """WebSocket address, without a path."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def rest_url(self) -> str:
        """REST address, without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> list[ServedConnection]:
        """Open connections, oldest first."""
        return [c for c in self._served.values() if c.open]

    def connection(self, number: int) -> ServedConnection:
        """A connection by number, open or not; they count from 0."""
        return self._served[number]

    async def __aenter__(self) -> Self:
        from k2core.testing.served import listen

        self._server = await listen(self, self._served)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for served in self._served.values():
            served.abort()
        self._server.close()
        await self._server.wait_closed()

    async def stop_listening(self) -> None:
        """Refuse new connections (the port is closed); open ones live on."""
        self._server.close(close_connections=False)
        await asyncio.sleep(0)

    async def wait_subscribed(self, streams: set[str] | Sequence[str], timeout: float = 60.0) -> None:  # noqa: ASYNC109 - says more than a scope
        """Wait until each of `streams` has a subscriber.

        Raises:
            TimeoutError: Some have none in time.
            DialectError: The dialect raised; nothing is waited for.
        """
        want = set(streams)
        await self.wait_until(lambda: want <= {s for c in self.connections for s in c.streams}, timeout)

    async def wait_until(self, holds: Any, timeout: float = 60.0) -> None:  # noqa: ASYNC109 - says more than a scope
        """Wait until `holds()` is true; it is asked whenever a connection, subscription or message comes or goes.

        Raises:
            TimeoutError: It did not become true in time.
            DialectError: The dialect raised; nothing is waited for.
        """
        async with asyncio.timeout(timeout):
            while not holds():
                if self.dialect_errors:
                    raise DialectError(self.dialect_errors[0])
                self._changed.clear()
                await self._changed.wait()

    def notify(self) -> None:
        """Wake those who wait: something about the connections changed."""
        self._changed.set()

    async def send(
        self, stream: str, frames: Sequence[bytes], *, rate: float | None = None, burst: int | None = None
    ) -> int:
        """Write frames to every connection that is subscribed to `stream`; returns when flow control took them.

        Args:
            stream: Name as the dialect gives it.
            frames: Payloads; the dialect wraps them.
            rate: Frames a second; None: as fast as the clients take them.
            burst: Frames in one write; by default 500, or at a rate a hundredth of a second's.

        Returns:
            How many connections took all of them.
        """
        takers = [c for c in self.connections if stream in c.streams]
        done = await asyncio.gather(*(c.send(frames, stream=stream, rate=rate, burst=burst) for c in takers))
        return sum(n == len(frames) for n in done)

    async def drop(self, connection: int | ServedConnection, how: Drop = "close", code: int = 1001) -> None:
        """End a connection: closing handshake, plain TCP end, TCP reset, or from now on silence (half-open)."""
        served = self._served[connection] if isinstance(connection, int) else connection
        await served.drop(how, code)

    async def announce_shutdown(self, connection: int | ServedConnection) -> None:
        """Send the dialect's shutdown frame."""
        served = self._served[connection] if isinstance(connection, int) else connection
        await served.send([speak(self, "shutdown_frame", served.path)], ledger=False)

    def refuse_next(self, status: int, headers: dict[str, str] | None = None, count: int = 1) -> None:
        """Answer the next `count` handshakes with this status and these headers."""
        self.refusals.extend([(status, headers or {})] * count)

    def fail_rest(self, status: int, headers: dict[str, str] | None = None, count: int = 1) -> None:
        """Answer the next `count` REST requests with this status and these headers."""
        self.rest_failures.extend([(status, headers or {})] * count)
