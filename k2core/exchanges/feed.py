"""`ExchangeFeed`: a `WebSocketFeed` that leaves only what differs between exchanges: messages, and what answers mean.

Faults survived: any bytes in a control frame (what cannot be read is `OTHER`, and goes on to the normalizer), and a REST
answer that is none (the check is told to come again).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from k2core.component import Context
from k2core.exchanges.settings import ExchangeSettings
from k2core.interfaces.connector import FrameKind, Reply, Request, RestClient, WebSocketFeed
from k2core.interfaces.frames import Subscription
from k2core.parsing.refusals import UNREADABLE

S = TypeVar("S", bound=ExchangeSettings)


class ExchangeFeed(WebSocketFeed, Generic[S]):
    """An exchange's dialect, on settings that all exchanges share.

    Args:
        settings: What to capture and from where.
        context: Clock and logger.

    Attributes:
        channels: By data type, the channel that carries it, where it is not called as k2 does.
        data: How frames of market data begin.
        apart: Whether a message may name one data type only.
    """

    channels: ClassVar[Mapping[str, str]] = {}
    data: ClassVar[tuple[bytes, ...]] = ()
    apart: ClassVar[bool] = False

    def __init__(self, settings: S, context: Context) -> None:
        self.settings, self.context = settings, context
        self.limits = settings.limits()

    @abstractmethod
    def message(self, subscriptions: Sequence[Subscription], number: int) -> Any:
        """What subscribes to these, to be sent as JSON; `number` is what its acknowledgement names."""

    @abstractmethod
    def reply(self, frame: bytes) -> Reply:
        """Read a frame that `is_data` said no to. May raise what reading JSON raises: it is `OTHER` then."""

    async def known(self, rest: RestClient, symbols: Sequence[str]) -> Collection[str]:
        """Which of the symbols the exchange has, or all that it has; by default every one.

        Raises:
            ConnectorError: It did not say; `RestResponse.read` raises it. Core goes on, and asks again later.
        """
        return symbols

    def subscriptions(self) -> Sequence[Subscription]:
        """Each symbol with each data type."""
        wanted = self.settings
        return [Subscription(symbol, data_type) for symbol in wanted.symbols for data_type in wanted.data_types]

    def endpoint(self, subscriptions: Sequence[Subscription]) -> str:
        """One address for all."""
        return self.settings.websocket_url

    def subscribe(self, subscriptions: Sequence[Subscription], first_id: int) -> Sequence[Request]:
        """A `message` for each part, of at most `subscriptions_per_request`."""
        return [
            Request(msgspec.json.encode(self.message(part, number)), str(number), tuple(part))
            for number, part in enumerate(self._parts(subscriptions), first_id)
        ]

    def is_data(self, frame: bytes) -> bool:
        """By its first bytes. One that is spaced oddly is `OTHER`, and goes to the normalizer all the same."""
        return frame.startswith(self.data)

    def about(self, symbol: str, channel: str = "") -> tuple[Subscription, ...]:
        """What an answer is about, for `Reply.subscriptions`.

        Args:
            symbol: The symbol that it names; empty: none, so it is about the whole request.
            channel: The channel that it names; empty: none, so it may be about any data type.
        """
        names = self.channels or {kind: kind for kind in self.settings.data_types}
        kinds = [kind for kind, name in names.items() if channel in ("", name)]
        return tuple(Subscription(symbol, kind) for kind in kinds or [channel]) if symbol else ()

    def classify(self, frame: bytes) -> Reply:
        """What `reply` reads."""
        try:
            return self.reply(frame)
        except UNREADABLE:
            return Reply(FrameKind.OTHER)

    async def check(self, rest: RestClient) -> Sequence[Subscription]:
        """Subscriptions to symbols that are not `known`; asks nothing where `check_symbols` is off."""
        if not self.settings.check_symbols:
            return ()
        known = set(await self.known(rest, self.settings.symbols))
        return [one for one in self.subscriptions() if one.symbol not in known]

    def _parts(self, subscriptions: Sequence[Subscription]) -> Iterator[Sequence[Subscription]]:
        most, kinds = self.settings.subscriptions_per_request, list(dict.fromkeys(s.data_type for s in subscriptions))
        groups = (
            [[s for s in subscriptions if s.data_type == kind] for kind in kinds] if self.apart else [subscriptions]
        )
        for group in groups:
            yield from (group[first : first + most] for first in range(0, len(group), most))
