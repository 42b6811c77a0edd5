"""Sockets behind a small interface, so that the simulation can put its own in their place.

`TcpDialer` is the real one: asyncio transports, TLS for wss. Survives half-open peers only with the timers above it.
"""

from __future__ import annotations

import asyncio
import ipaddress
from abc import ABC, abstractmethod
from typing import Any


class LinkEvents(ABC):
    """What a link tells its owner, on the event loop."""

    @abstractmethod
    def received(self, data: bytes) -> None:
        """Bytes of one read."""

    @abstractmethod
    def lost(self, error: Exception | None) -> None:
        """The link is gone; None where the other side ended it in order. Called once, the last."""


class Link(ABC):
    """A byte stream to an exchange."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Queue bytes for writing."""

    @abstractmethod
    def pause(self) -> None:
        """Read no more, so that the other side is pushed back."""

    @abstractmethod
    def resume(self) -> None:
        """Read on."""

    @abstractmethod
    def close(self) -> None:
        """Write what is queued, then end."""

    @abstractmethod
    def abort(self) -> None:
        """End at once."""


class Dialer(ABC):
    """Opens links."""

    @abstractmethod
    async def dial(self, host: str, port: int, *, secure: bool, events: LinkEvents) -> Link:
        """Connect; the caller bounds the time.

        Raises:
            OSError: It did not work.
        """


class TcpDialer(Dialer):
    """Real sockets. `ssl_context` None: the system's certificate authorities."""

    def __init__(self, ssl_context: Any = None) -> None:
        self._ssl_context = ssl_context

    async def dial(self, host: str, port: int, *, secure: bool, events: LinkEvents) -> Link:
        """Connect over TCP, and TLS where `secure`."""
        context = None
        if secure:
            import ssl

            context = self._ssl_context = self._ssl_context or ssl.create_default_context()
        # Only a name's addresses are raced: Python's race leaks a socket that connects while it is cancelled.
        delay = None if _is_address(host) else 0.25
        _, link = await asyncio.get_running_loop().create_connection(
            lambda: _TcpLink(events), host, port, ssl=context, happy_eyeballs_delay=delay
        )
        return link


def _is_address(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


class _TcpLink(asyncio.Protocol, Link):
    _transport: asyncio.Transport

    def __init__(self, events: LinkEvents) -> None:
        self.data_received = events.received  # type: ignore[method-assign]  # one call less for each read
        self._events = events

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._events.lost(exc)

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def pause(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()
