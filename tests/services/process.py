"""A real service as a child process: started, waited for, frozen, killed, started again on the same port and data.

It dies with the process that started it, whatever becomes of that; its output is a file, whose end is shown where it
does not come up.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from k2core.cli.demo_exchange import free_port

PR_SET_PDEATHSIG = 1


class UnavailableError(Exception):
    """A service cannot be installed or started here; says why and what to do."""


def die_with_parent() -> None:
    """For `preexec_fn`: a child that outlives a killed test run eats a core until somebody looks."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Service(ABC):
    """One server on loopback.

    Args:
        folder: Its data and its output.
        port: Kept through restarts; 0 takes a free one.
    """

    start_s = 180.0

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder, self.port = folder, port or free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Program and arguments."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves."""

    def environment(self) -> dict[str, str]:
        """Variables besides ours."""
        return {}

    @property
    def name(self) -> str:
        """For messages and the log file."""
        return type(self).__name__.lower()

    @property
    def output(self) -> Path:
        """What it printed."""
        return self.folder / f"{self.name}.out"

    @property
    def pid(self) -> int:
        """The running process's."""
        assert self._process
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its process lives, frozen or not."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start and wait until it serves.

        Raises:
            UnavailableError: It ended, or did not serve within `start_s`.
        """
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start, and do not wait."""
        with self.output.open("ab") as out:
            self._process = subprocess.Popen(
                self.command(), stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True,
                env=os.environ | self.environment(), cwd=self.folder, preexec_fn=die_with_parent,
            )  # fmt: skip

    def wait(self) -> None:
        """Wait until it serves; see `start`."""
        deadline = time.monotonic() + self.start_s
        while not self.answers():
            if not self.running or time.monotonic() > deadline:
                self.kill()
                said = self.output.read_text(errors="replace")[-2000:]
                raise UnavailableError(f"{self.name} did not come up on port {self.port}: {said}")
            time.sleep(0.05)

    def stop(self, within_s: float = 20) -> None:
        """SIGTERM and wait; killed where it takes longer."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGCONT)
            self._process.terminate()
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """`kill -9`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """`SIGSTOP`: its sockets stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """`SIGCONT`."""
        os.kill(self.pid, signal.SIGCONT)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Frozen for as long as the block; it serves again when that is left: one frozen for long finds its place lost."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()
        self.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def listens(port: int) -> bool:
    """Whether something accepts connections on a port of this machine."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
