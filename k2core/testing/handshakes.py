"""What `FakeExchange` answers before a connection stands: handshakes let in or turned away, and REST.

Survived: whatever is asked for; a dialect that raises is answered 500. Imports the WebSocket library.
"""

from __future__ import annotations

import http
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from k2core.testing.speaking import DialectError, speak

if TYPE_CHECKING:
    from k2core.testing.exchange import FakeExchange


def answer(exchange: FakeExchange, request: Request) -> Response | None:
    """A plain GET is REST; a handshake is let in (None) or refused."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        exchange.counts["rest"] += 1
        exchange.notify()
        if exchange.rest_failures:
            return response(*exchange.rest_failures.popleft(), b"")
        asked = urlsplit(request.path)
        try:
            return response(*speak(exchange, "rest", asked.path, dict(parse_qsl(asked.query))))
        except DialectError:  # it stands in `dialect_errors`, and was logged
            return response(500, {}, b"")
    exchange.attempts.append(time.monotonic())
    refusal = exchange.refusals.popleft() if exchange.refusals else _over_budget(exchange)
    if refusal is None:
        return None
    exchange.counts["refused"] += 1
    exchange.notify()
    return response(*refusal, b"")


def _over_budget(exchange: FakeExchange) -> tuple[int, dict[str, str]] | None:
    limits, now = exchange.limits, time.monotonic()
    exchange.connect_times.append(now)
    while exchange.connect_times[0] <= now - limits.connect_window:
        exchange.connect_times.popleft()
    if limits.connects_per_window is None or len(exchange.connect_times) <= limits.connects_per_window:
        return None
    return 429, {"Retry-After": "1"}


def response(status: int, headers: dict[str, str], body: bytes) -> Response:
    """An HTTP answer of the library's type."""
    names = {n.lower() for n in headers}
    own = {} if "content-length" in names else {"Content-Length": str(len(body))}
    return Response(status, http.HTTPStatus(status).phrase, Headers({**headers, **own, "Connection": "close"}), body)
