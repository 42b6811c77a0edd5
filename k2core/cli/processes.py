"""What `k2 ingest`, `k2 write` and `k2 serve` have in common: logging, status file, stopping on signals.

The first SIGTERM or SIGINT asks the process to drain; a second one ends it at once. A process that `k2 up` started
dies with it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from k2core.cli.orphan import die_with_parent, is_minded
from k2core.cli.session import Session, current
from k2core.cli.telling import telling
from k2core.config.build import Assembly
from k2core.telemetry.logs import set_up
from k2core.telemetry.status import StatusFile

SIGNALS = (signal.SIGTERM, signal.SIGINT)
AT_ONCE = 130


class StopSignals:
    """Turns signals into `stopping`, and calls back, in a thread: locks are not safe within a signal."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._callbacks: list[Callable[[], object]] = []
        self._reader, self._writer = os.pipe()
        self._count = 0

    def __enter__(self) -> StopSignals:
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        threading.Thread(target=self._watch, name="signals", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for number, old in self._before.items():
            signal.signal(number, old)
        os.close(self._writer)  # ends the thread, which closes the other end

    def call(self, back: Callable[[], object]) -> None:
        """Have something called when it is time to stop."""
        self._callbacks.append(back)
        if self.stopping.is_set():
            back()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._count > 1:
            os._exit(AT_ONCE)
        os.write(self._writer, b"!")

    def _watch(self) -> None:
        with os.fdopen(self._reader, "rb", buffering=0) as reader:
            while reader.read(1):
                self.stopping.set()
                for back in self._callbacks:
                    back()


@dataclass(slots=True, kw_only=True)
class Process:
    """One of k2's processes, as it runs.

    Args:
        name: `ingest`, `write`, `serve`.
        session: What it was called with.
        status: Where it says how it is.
        signals: When it is to stop.
        logger: Its log.
        facts: What it tells besides its metrics, in its last status too.
    """

    name: str
    session: Session
    status: StatusFile
    signals: StopSignals
    logger: logging.Logger = field(repr=False)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def assembly(self) -> Assembly:
        """Constructs its components."""
        return self.session.assembly


@contextlib.contextmanager
def process(name: str) -> Iterator[Process]:
    """Be one of k2's processes: publish `starting` now, and how it ended in the end.

    Raises:
        K2Error: The settings are wrong.
    """
    if is_minded():
        die_with_parent()
    session = current()
    set_up(session.config.run.log_level, session.config.run.log_format)
    assembly = session.assembly
    status = StatusFile(session.config.run.path, name, assembly.clock, assembly.metrics, minded=is_minded())
    with contextlib.ExitStack() as stack:
        signals = stack.enter_context(StopSignals())
        status.publish("starting")  # from here on it can be told to stop
        stack.enter_context(telling(name, session, lambda: status.last))
        logger = logging.getLogger(f"k2.{name}")
        try:
            self = Process(name=name, session=session, status=status, signals=signals, logger=logger)
            yield self
        except BaseException as error:
            status.publish("failed", " ".join(str(error).split()) or type(error).__name__)
            raise
        status.publish("stopped", facts=self.facts)
