"""`LocalExchange`: an exchange in a box, for the demo and for end-to-end tests; plugins offer theirs through a hook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Self


class LocalExchange(ABC):
    """A server on loopback that speaks an exchange's own protocol and plays a tape. An async context manager."""

    @abstractmethod
    async def __aenter__(self) -> Self:
        """Start to listen."""

    @abstractmethod
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; connections end."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Settings with which the connector reaches it: `websocket_url`, `rest_url`, `symbols` …"""

    @abstractmethod
    async def play(self) -> None:
        """Wait for subscribers, run the tape, and return when all of it is sent.

        Raises:
            TimeoutError: Nobody subscribed within the exchange's own limit.
        """

    @abstractmethod
    def issued(self, data_type: str) -> list[dict[str, Any]]:
        """Every distinct record sent so far that the table must hold, as record columns."""
