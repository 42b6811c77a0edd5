"""How an exchange is spoken to: `WebSocketFeed` (sans-I/O, core drives it) or a full `Connector`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any, Self, TypeVar

from k2core.errors import ConnectorError
from k2core.interfaces.frames import FrameBatch, Subscription

T = TypeVar("T")
_MOST_SHOWN = 200


class FrameKind(Enum):
    """What a frame is for, as `WebSocketFeed.classify` says it."""

    DATA = "data"
    ACK = "ack"  # accepted; `Reply.request_id` or `Reply.subscriptions` says what
    REFUSED = "refused"  # the same, refused
    HEARTBEAT = "heartbeat"  # alive, no data
    CLOSING = "closing"  # the server is about to close: reconnect now, before it does
    OTHER = "other"  # control that needs nothing done


@dataclass(frozen=True, slots=True)
class Reply:
    """A classified control frame.

    Args:
        kind: What it is.
        request_id: The request it answers, where it names one.
        message: The exchange's own words, for errors.
        subscriptions: What it accepts or refuses, where it names that: one of many, or all so far; of the request that
            it names, else of any. A request is answered once all that it asked for is, and what nobody asked for is
            ignored. Empty: the reply is about the whole request.
    """

    kind: FrameKind
    request_id: str | None = None
    message: str = ""
    subscriptions: Sequence[Subscription] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """What the exchange allows, and when a connection counts as dead. Times in seconds, sizes in bytes.

    Args:
        streams_per_connection: Subscriptions on one connection at most.
        control_per_second: Outgoing control messages (pongs included) a second at most.
        connects_per_window: Connection attempts within `connect_window` at most, all connections together.
        connect_window: See `connects_per_window`.
        max_frame_bytes: A larger frame is refused before it is buffered, and the connection closed with 1009.
        frame_timeout: No frame of any kind (server pings count) for so long: dead.
        data_timeout: No data frame for so long: dead. None where a quiet market is normal.
        ack_timeout: A subscription not acknowledged for so long is asked for again: on a new connection where nothing was
            acknowledged, else in halves; one that is alone is left out (refused) until the next connection.
        max_age: A connection is replaced at this age (make before break); None: never.
    """

    streams_per_connection: int = 1024
    control_per_second: float = 5.0
    connects_per_window: int = 300
    connect_window: float = 300.0
    max_frame_bytes: int = 1 << 20
    frame_timeout: float = 60.0
    data_timeout: float | None = None
    ack_timeout: float = 10.0
    max_age: float | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A control message to send.

    Args:
        payload: The message.
        request_id: What its acknowledgement will name.
        subscriptions: What it asks for; a feed that cuts what it was given into several requests says it, so that a
            refusal touches these alone. Empty: all that `subscribe` was given.
    """

    payload: bytes
    request_id: str
    subscriptions: tuple[Subscription, ...] = ()


@dataclass(frozen=True, slots=True)
class RestResponse:
    """A REST answer: status, headers with lower-case names, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def read(self, what: str, decode: Callable[[bytes], T]) -> T:
        """The body of an answer that must be 200.

        Args:
            what: What was asked, for the error: the endpoint's name.
            decode: Reads the body, as a msgspec decoder's `decode`; whatever it raises means that it is no such answer.

        Raises:
            ConnectorError: It is no such answer.
        """
        said = f"{what} answered {self.status}: {self.body[:_MOST_SHOWN]!r}"
        if self.status != 200:
            raise ConnectorError(f"{said}; it is asked again")
        try:
            return decode(self.body)
        except Exception as error:
            raise ConnectorError(
                f"{said}, not what it should be ({str(error)[:_MOST_SHOWN]}); it is asked again"
            ) from error


class RestClient(ABC):
    """REST as core offers it to feeds: bounded, retried, `Retry-After` honoured."""

    @abstractmethod
    async def get(self, url: str, params: Mapping[str, str] | None = None) -> RestResponse:
        """GET a URL.

        Raises:
            ConnectorError: No usable answer within the limits; `retry_after` where the exchange named one.
        """


class WebSocketFeed(ABC):
    """An exchange's WebSocket dialect without any I/O; core connects, paces, shards, watches and reconnects.

    Methods are called on the event loop and must not block. One feed object serves all connections.
    """

    limits: ConnectionLimits = ConnectionLimits()

    @abstractmethod
    def subscriptions(self) -> Sequence[Subscription]:
        """Everything that the settings ask for."""

    @abstractmethod
    def endpoint(self, subscriptions: Sequence[Subscription]) -> str:
        """URL of the connection that is to carry `subscriptions`."""

    @abstractmethod
    def subscribe(self, subscriptions: Sequence[Subscription], first_id: int) -> Sequence[Request]:
        """Control messages that subscribe; ids count up from `first_id`. Empty where the URL does it."""

    @abstractmethod
    def is_data(self, frame: bytes) -> bool:
        """Whether a frame carries market data. Called for every frame: a prefix test, no JSON."""

    @abstractmethod
    def classify(self, frame: bytes) -> Reply:
        """Read a frame that `is_data` said no to. May raise nothing; what it cannot read is `OTHER`."""

    async def check(self, rest: RestClient) -> Sequence[Subscription]:
        """Ask the exchange which of the subscriptions it does not know, before the first connection.

        Returns:
            The unknown ones; they are reported and left out. By default none.

        Raises:
            ConnectorError: The exchange did not answer; core goes on without the check and tries again later.
        """
        return ()


class Connector(ABC):
    """Full control over a connection: an async source of frame batches that ends only when it is closed."""

    @abstractmethod
    def frames(self) -> AsyncIterator[FrameBatch]:
        """Frames as they come. Reconnects by itself for ever; raises only `ConfigError`."""

    def facts(self) -> Mapping[str, Any]:
        """Counters for status and metrics: connections, reconnects, refused frames …"""
        return {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None
