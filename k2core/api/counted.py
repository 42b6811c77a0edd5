"""`Counted`: every request's route, status and time as metrics; a path that nobody made is the route `none`."""

from __future__ import annotations

import time
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from k2core.telemetry.metrics import Metrics


class Counted:
    """Wraps the application.

    Args:
        app: What answers.
        metrics: Where it is counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), [500]

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
            await send(message)

        self._count(1)
        try:
            await self._app(scope, receive, noted)
        finally:
            self._count(-1)
            named: Any = scope.get("route_handler")
            route = (getattr(named, "name", None) or "none") if named is not None else "none"
            self._metrics.add("k2_http_requests_total", route=route, status=f"{status[0] // 100}xx")
            self._metrics.observe("k2_http_request_seconds", time.perf_counter() - began, route=route)

    def _count(self, more: int) -> None:
        self._inside += more
        self._metrics.set("k2_http_in_flight", self._inside)
