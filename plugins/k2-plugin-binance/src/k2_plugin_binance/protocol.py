"""Binance spot's protocol from the server's side: what the local exchange answers, in Binance's own words.

Source: binance/binance-spot-api-docs, web-socket-streams.md ("Live Subscribing/Unsubscribing to streams", "Error
Messages") and rest-api.md ("General endpoints"). `SET_PROPERTY` and `GET_PROPERTY` are not spoken: the address decides
whether streams are combined. As at Binance, a stream of an unknown symbol is acknowledged and stays silent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from k2core.plugin import Clock
from k2core.testing import Dialect, compact_json

_MS_TIME = re.compile(rb'"([ET])":([0-9]{13})(?![0-9])')
_QUERIES = "SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS"


class BinanceDialect(Dialect):
    """Speaks Binance.

    Args:
        symbols: What `exchangeInfo` lists.
        clock: For `serverTime` and the farewell.
    """

    def __init__(self, symbols: Sequence[str], clock: Clock) -> None:
        super().__init__(symbols)
        self._clock = clock

    def on_connect(self, path: str) -> set[str]:
        """`/ws/<stream>` and `/stream?streams=<a>/<b>` subscribe by address; `/ws` and `/stream` to nothing yet."""
        asked = urlsplit(path)
        if asked.path.startswith("/ws/"):
            named = asked.path.removeprefix("/ws/")
        else:
            named = "/".join(parse_qs(asked.query).get("streams", []))
        return {stream for stream in named.split("/") if stream}

    def on_message(self, message: bytes, current: set[str]) -> tuple[list[bytes], set[str]]:
        """Answer SUBSCRIBE, UNSUBSCRIBE and LIST_SUBSCRIPTIONS; anything else is an error of code 2 or 3."""
        try:
            asked = json.loads(message)
        except ValueError:
            return [_error(3, "Invalid JSON: expected value at line 1 column 1", None)], current
        if not isinstance(asked, dict) or "method" not in asked:
            return [_error(2, "Invalid request: missing field `method` at line 1 column 1", None)], current
        return self._obey(asked["method"], asked.get("params"), asked.get("id"), current)

    def _obey(self, method: Any, params: Any, request_id: Any, current: set[str]) -> tuple[list[bytes], set[str]]:
        if method == "LIST_SUBSCRIPTIONS":
            return [compact_json({"result": sorted(current), "id": request_id})], current
        if method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
            wrong = f"Invalid request: unknown variant {method}, expected one of {_QUERIES} at line 1 column 1"
            return [_error(2, wrong, request_id)], current
        if not isinstance(params, list) or not all(isinstance(stream, str) for stream in params):
            return [_error(2, "Invalid request: params must be a list of streams", request_id)], current
        after = current | set(params) if method == "SUBSCRIBE" else current - set(params)
        return [compact_json({"result": None, "id": request_id})], after

    def refuse(self, message: bytes, streams: set[str]) -> list[bytes]:
        """An error that answers `message`."""
        request_id = json.loads(message).get("id")
        return [_error(2, f"Invalid request: unknown streams {sorted(streams)}", request_id)]

    def rest(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """`ping`, `time` and `exchangeInfo`; 404 for all else."""
        if path == "/api/v3/ping":
            return _json(200, {})
        if path == "/api/v3/time":
            return _json(200, {"serverTime": self._clock.now_ms()})
        if path == "/api/v3/exchangeInfo":
            return self._exchange_info(query)
        return _json(404, {"code": -1000, "msg": f"there is no {path} here"})

    def _exchange_info(self, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        try:
            asked = json.loads(query["symbols"]) if "symbols" in query else None
        except ValueError:
            return _json(400, {"code": -1100, "msg": "Illegal characters found in parameter 'symbols'."})
        if "symbol" in query:
            asked = [query["symbol"]]
        if asked is not None and not set(asked) <= set(self.symbols):
            return _json(400, {"code": -1121, "msg": "Invalid symbol."})
        listed = [
            {"symbol": s, "status": "TRADING", "isSpotTradingAllowed": True}
            for s in self.symbols
            if asked is None or s in asked
        ]
        info = {"timezone": "UTC", "serverTime": self._clock.now_ms(), "rateLimits": [], "exchangeFilters": []}
        return _json(200, {**info, "symbols": listed})

    def wrap(self, path: str, stream: str, frame: bytes) -> bytes:
        """A payload with times in ms, as a client of this address gets it."""
        asked = urlsplit(path)
        if parse_qs(asked.query).get("timeUnit", [""])[0].upper() == "MICROSECOND":
            frame = _MS_TIME.sub(rb'"\1":\g<2>000', frame)
        return b'{"stream":"%b","data":%b}' % (stream.encode(), frame) if asked.path == "/stream" else frame

    def shutdown_frame(self, path: str) -> bytes:
        """`{"e":"serverShutdown","E":…}`, on combined streams under the name `!serverShutdown`."""
        return self.wrap(path, "!serverShutdown", b'{"e":"serverShutdown","E":%d}' % self._clock.now_ms())


def _error(code: int, text: str, request_id: Any) -> bytes:
    return compact_json({"code": code, "msg": text, "id": request_id})


def _json(status: int, value: Any) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": "application/json;charset=UTF-8"}, compact_json(value)
