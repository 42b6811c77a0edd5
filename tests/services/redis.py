"""A real Redis."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from pathlib import Path

from tests.services.install import program
from tests.services.process import Service


class Redis(Service):
    """One Redis without persistence, unless a test asks for a dump.

    Args:
        folder: Where a dump would lie.
        options: Further arguments, as `--maxmemory`, `10mb`.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__(folder)
        self._options = options

    @property
    def url(self) -> str:
        """What `[dedup] url` takes."""
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> Sequence[str]:
        """The server."""
        fixed = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--appendonly", "no"]
        return [program("redis-server", "redis-server"), *fixed, "--save", "", *self._options]

    def answers(self) -> bool:
        """Whether it says PONG."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as one:
            one.sendall(b"PING\r\n")
            return one.recv(16) == b"+PONG\r\n"
        return False
