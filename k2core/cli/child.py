"""`Child`: one process that `k2 up` minds: how it is started, what it last said, why it ended.

Its stderr is relayed line by line, so that its last word is known when it is gone. It runs in a session of its own:
Ctrl-C reaches `k2 up` alone, which then stops the children in order.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from k2core.cli.orphan import VARIABLE

Relay = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """What to start.

    Args:
        name: `ingest`, `write`, `serve`: also the name of its status file.
        command: Program and arguments.
        env: Variables besides this process's own.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


class Child:
    """One child, through all of its lives."""

    def __init__(self, spec: ChildSpec, relay: Relay) -> None:
        self.spec, self._relay = spec, relay
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self.started_at = 0.0
        self.next_start: float | None = 0.0  # monotonic seconds; None: not to be started again
        self.quick_deaths = 0
        self.last_line = ""
        self._reader: threading.Thread | None = None

    @property
    def name(self) -> str:
        """The child's name."""
        return self.spec.name

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int | None:
        """Process id of the present or last life."""
        return self.process.pid if self.process else None

    def start(self, now: float) -> None:
        """Start it, at a monotonic time."""
        self.starts += 1
        self.started_at, self.next_start, self.last_line = now, None, ""
        self.process = subprocess.Popen(  # noqa: S603 - our own command line
            list(self.spec.command),
            stdin=subprocess.PIPE,  # held open: its end tells the child that we are gone
            stderr=subprocess.PIPE,
            env={**os.environ, **self.spec.env, VARIABLE: "1"},
            start_new_session=True,
        )
        stderr = self.process.stderr
        if stderr is None:
            raise RuntimeError("a child's stderr is a pipe")
        self._reader = threading.Thread(target=self._relay_lines, args=(stderr,), daemon=True)
        self._reader.start()

    def signal(self, number: int) -> None:
        """Send its whole process group a signal; nothing where it is gone."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def reap(self) -> int:
        """Exit code of a process that has ended; its last words are complete after this."""
        if self.process is None:
            raise RuntimeError(f"{self.name} was never started")
        code = self.process.wait()
        if self._reader:
            self._reader.join(timeout=1)
        if self.process.stdin:
            self.process.stdin.close()
        self.process = None
        return code

    def _relay_lines(self, stderr: IO[bytes]) -> None:
        with stderr:
            for raw in stderr:
                line = raw.decode(errors="replace").rstrip()
                if line:
                    self.last_line = line
                    self._relay(line)


def word_exit(code: int) -> str:
    """An exit code in words: `exit code 1`, `killed by SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
