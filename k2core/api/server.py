"""`serve`: the application on a socket, until an event says stop.

A port that is taken, or an address that is not the machine's own without keys, is refused before anything starts.
Stopping waits a bounded time for open requests.
"""

from __future__ import annotations

import contextlib
import errno
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from k2core.config.reach import refuse_open
from k2core.errors import ConfigError
from k2core.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from litestar import Litestar

GRACE_S = 5
SILENT_S, MOST_SILENT = 10.0, 256
BACKLOG = 512


def bind(host: str, port: int, *, auth: bool) -> socket.socket:
    """A listening socket.

    Raises:
        ConfigError: The port is taken, the address is not this machine's, or it is open to others without keys.
    """
    refuse_open(host, auth=auth)
    listener = None
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise _refused(host, port, error) from None
    return listener


def serve(app: Litestar, listener: socket.socket, stop: threading.Event, metrics: Metrics | None = None) -> None:
    """Serve until `stop` is set.

    Args:
        app: The application.
        listener: From `bind`.
        stop: Set by whoever handles signals, or by what cannot go on.
        metrics: Where connections are counted.
    """
    import uvicorn

    silent = Silent(metrics or Metrics())

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # signals are the command's business

        async def on_tick(self, counter: int) -> bool:
            silent.close(self.server_state.connections)
            return await super().on_tick(counter) or stop.is_set()

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=30,
        server_header=False,
        ws="none",
    )
    Server(config).run(sockets=[listener])


class Silent:
    """Closes connections on which nobody has asked anything for `SILENT_S`, and the oldest of too many such ones."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._since: dict[Any, float] = {}
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = max(16, min(MOST_SILENT, descriptors // 2))

    def close(self, connections: Iterable[Any]) -> None:
        """Look at all connections; called several times a second."""
        now = time.monotonic()
        connections = list(connections)
        self._metrics.set("k2_http_connections", len(connections))
        waiting = [c for c in connections if getattr(c, "cycle", None) is None]
        self._since = {c: self._since.get(c, now) for c in waiting}
        oldest = sorted(self._since, key=self._since.__getitem__)
        excess = max(0, len(oldest) - self._most)
        for number, connection in enumerate(oldest):
            if number < excess or now - self._since[connection] > SILENT_S:
                connection.transport.abort()
                self._metrics.add("k2_http_silent_connections_closed_total")


def port_of(listener: socket.socket) -> int:
    """The port that is listened on."""
    port: int = listener.getsockname()[1]
    return port


Ready = Callable[[int], None]


def _refused(host: str, port: int, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(f"port {port} is taken on {host}: stop what listens there, or set [api] port to another one")
    if error.errno == errno.EACCES:
        return ConfigError(f"port {port} may not be used by this user: set [api] port to one above 1023")
    return ConfigError(f"[api] host {host!r}, port {port} cannot be listened on: {error.strerror or error}")
