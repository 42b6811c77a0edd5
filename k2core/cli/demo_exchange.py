"""The demo's exchange: a plugin's local exchange on an event loop of its own, and the `k2.toml` that points at it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from k2core.testing.local import LocalExchange

START_S = 60.0
PORTS = random.SystemRandom()


class ExchangeThread:
    """Runs a `LocalExchange` in a thread; its methods are called from any other."""

    def __init__(self, exchange: LocalExchange) -> None:
        self._exchange = exchange
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="local-exchange", daemon=True)

    @property
    def local(self) -> LocalExchange:
        """The exchange itself; it lives on the thread's loop."""
        return self._exchange

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._exchange.__aenter__(), self._loop).result(START_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(START_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_S)
        self._loop.close()

    async def _close(self) -> None:
        await self._exchange.__aexit__(None, None, None)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def settings(self) -> dict[str, Any]:
        """The connector's settings that reach it."""
        return self._exchange.settings()

    def play(self) -> Future[None]:
        """Start the tape; the future is done when all of it is sent."""
        return asyncio.run_coroutine_threadsafe(self._exchange.play(), self._loop)

    def issued(self, data_type: str) -> list[dict[str, Any]]:
        """What it sent and the table must hold."""
        return self._exchange.issued(data_type)


def free_port() -> int:
    """A port of loopback that nobody listens on.

    It lies below those that systems give to outgoing connections: one of these would take it from a server that needs a
    second to start, or to start again.
    """
    while True:
        port = PORTS.randrange(12_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def write_settings(folder: Path, exchange: str, connector: Mapping[str, Any], port: int) -> Path:
    """Write the demo's `k2.toml`."""
    lines = connector_lines(exchange, connector)
    lines += ["", "[broker]", 'use = "embedded"', 'path = "data/log.db"']
    lines += ["", "[sinks.lake]", 'use = "iceberg"', 'warehouse = "data/warehouse"']
    lines += ["", "[writer]", "commit_interval_s = 2", "min_commit_interval_s = 2"]
    lines += ["", "[api]", f"port = {port}", ""]
    file = folder / "k2.toml"
    file.write_text("\n".join(lines), "utf-8")
    return file


def connector_lines(exchange: str, connector: Mapping[str, Any]) -> list[str]:
    """A connector's section of `k2.toml`."""
    return [f"[connectors.{exchange}]", *(f"{key} = {toml(value)}" for key, value in connector.items())]


def toml(value: Any) -> str:
    """A value as TOML: text, numbers, true and false, and lists of them are written as in JSON."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml(v) for v in value) + "]"
    return json.dumps(value if isinstance(value, bool | int | float) else str(value))
