"""Coin's side of the conversation, for `k2core.testing.FakeExchange`: what a test of `coin_exchange.py` talks to."""

from __future__ import annotations

import json

from k2core.testing import Dialect


class CoinDialect(Dialect):
    """Answers subscriptions; knows no REST."""

    def on_connect(self, path: str) -> set[str]:
        """Nothing is subscribed to by address."""
        return set()

    def on_message(self, message: bytes, current: set[str]) -> tuple[list[bytes], set[str]]:
        """Subscribe, and say so."""
        asked = json.loads(message)
        return [b'{"ok":%d}' % asked["id"]], current | set(asked["sub"])

    def rest(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """There is none."""
        return 404, {}, b""

    def shutdown_frame(self, path: str) -> bytes:
        """Coin says nothing before it closes."""
        return b""

    def refuse(self, message: bytes, streams: set[str]) -> list[bytes]:
        """Refuse a subscription."""
        return [b'{"no":%d,"why":"no such coin"}' % json.loads(message)["id"]]
