"""`Endpoint`: a small HTTP port in a thread of its own, which answers while the process is busy.

It knows a handful of pages and nothing else. Survived: peers that say nothing, send too much or never read (a bounded
time and a bounded number of connections), a port that is taken (a free one is taken instead), a page that fails (500).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple

MOST_BYTES, MOST_CONNECTIONS, TIMEOUT_S = 8192, 32, 5.0
JOIN_S = 2.0

log = logging.getLogger("k2.metrics")


class Page(NamedTuple):
    """An answer."""

    status: int
    media_type: str
    body: bytes


class Endpoint:
    """Listens from `start` to `close`.

    Args:
        host: Address.
        port: 0 takes a free one; so does one that is taken, with a warning.
        pages: What makes the page of each path; called in the endpoint's thread.
    """

    def __init__(self, host: str, port: int, pages: Mapping[str, Callable[[], Page]]) -> None:
        self._pages = pages
        self._listener = _bound(host, port)
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._open = 0

    @property
    def address(self) -> str:
        """`host:port` that it listens on."""
        host, port = self._listener.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop; what is being answered is cut off."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it ended just now, with its loop
                self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(JOIN_S)
        self._listener.close()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._answer, sock=self._listener, limit=MOST_BYTES)
        await self._stopping.wait()
        server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            async with asyncio.timeout(TIMEOUT_S):
                if self._open > MOST_CONNECTIONS:
                    page, head = Page(503, "text/plain", b"too many connections\n"), False
                else:
                    page, head = self._page(await reader.readuntil(b"\r\n\r\n"))
                writer.write(_response(page, head=head))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            log.debug("no answer error=%s", type(error).__name__)
        finally:
            self._open -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _page(self, request: bytes) -> tuple[Page, bool]:
        method, _, rest = request.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1")
        if method not in (b"GET", b"HEAD"):
            return Page(405, "text/plain", b"this port takes GET alone\n"), False
        make = self._pages.get(path)
        if make is None:
            listed = "\n".join(["there are:", *self._pages, ""])
            return Page(404, "text/plain", listed.encode()), method == b"HEAD"
        try:
            return make(), method == b"HEAD"
        except Exception:
            log.exception("page failed path=%s", path)
            return Page(500, "text/plain", b"failed; the log says why\n"), False


def _response(page: Page, *, head: bool) -> bytes:
    lines = (
        f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}",
        f"Content-Type: {page.media_type}",
        f"Content-Length: {len(page.body)}",
        "Cache-Control: no-store",
        "Connection: close",
    )
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if head else page.body)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in dict.fromkeys((port, 0)):
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, number))
            listener.listen(MOST_CONNECTIONS)  # who asks before the thread runs waits, and is not refused
        except OSError as error:
            listener.close()
            if not number:
                raise
            log.warning("port of metrics is taken, a free one is used port=%d error=%s", number, error.strerror)
            continue
        listener.setblocking(False)
        return listener
    raise RuntimeError("a free port is always tried")
