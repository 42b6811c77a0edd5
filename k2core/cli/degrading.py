"""What the pipelines of `k2 write` degrade by: settings, this process's memory, and how a level is told.

A level is told as metric, as log line, as event on the control topic, and in the process's status.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from k2core.cli.topics import specs_of
from k2core.degradation.board import LevelBoard
from k2core.degradation.events import LEVELS_TOPIC, Announcer
from k2core.degradation.memory import Memory
from k2core.errors import K2Error

if TYPE_CHECKING:
    from k2core.cli.processes import Process
    from k2core.degradation.controller import Controller
    from k2core.degradation.levels import Change
    from k2core.interfaces.broker import Broker
    from k2core.records.data_type import DataType
    from k2core.writer.shedding import Degradation


LOOK_S = 5.0
"""How often `k2 ingest` looks at the writers' levels; it shows them, and does nothing else about them."""


@contextmanager
def watched_levels(process: Process) -> Iterator[None]:
    """Keep the metric of the writers' level up to date, in a thread with an opening of the log of its own."""
    ended = threading.Event()
    thread = threading.Thread(target=_watch, args=(process, ended), name="levels", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(LOOK_S)


def _watch(process: Process, ended: threading.Event) -> None:
    assembly = process.assembly
    try:
        with assembly.broker() as log:
            board = LevelBoard(log, assembly.clock, assembly.config.degradation.announce_s)
            while not ended.wait(LOOK_S):
                board.look()
                assembly.metrics.set("k2_degradation_level", board.level)
            board.close()
    except K2Error as error:  # nothing hangs on it
        process.logger.warning("the writers' level is not watched error=%s", error)


class Degrading:
    """Shared by the pipelines of one process.

    Args:
        process: Whose settings, clock, metrics and logger are used.
        log: The log, open.
        writer: Who tells levels, as `host:pid`.
    """

    def __init__(self, process: Process, log: Broker, writer: str) -> None:
        self._process, self._log = process, log
        self._settings = process.assembly.config.degradation
        self._memory = Memory(self._settings)
        self._announcer = Announcer(log.producer(), process.assembly.clock, writer, process.logger)
        if log.makes_topics and self._settings.enabled:
            self._make_topic()

    def of(self, data_type: DataType) -> Degradation:
        """What the pipeline of one table degrades by."""
        from k2core.writer.shedding import Degradation

        def tell(controller: Controller, change: Change | None) -> None:
            self._tell(data_type, controller, change)

        return Degradation(settings=self._settings, memory=self._share, relieve=self._memory.relieve, tell=tell)

    def close(self) -> None:
        """Release what is held."""
        self._announcer.close()

    def _make_topic(self) -> None:
        try:
            self._log.ensure_topics(specs_of([LEVELS_TOPIC], self._process.assembly.data_types()))
        except K2Error as error:
            self._process.logger.warning("no topic for levels topic=%s error=%s", LEVELS_TOPIC.name, error)

    def _share(self) -> float:
        share = self._memory.share()
        self._process.assembly.metrics.set("k2_writer_memory_ratio", share)
        return share

    def _tell(self, data_type: DataType, controller: Controller, change: Change | None) -> None:
        metrics, level = self._process.assembly.metrics, controller.level
        if change is not None:
            metrics.set("k2_writer_degradation_level", level, data_type=data_type.name)
            metrics.add("k2_writer_degradation_changes_total", data_type=data_type.name, level=level.name)
            say = self._process.logger.warning if level > change.previous else self._process.logger.info
            say(
                "degradation data_type=%s level=%s previous=%s cause=%s lag_records=%d memory=%.2f",
                data_type.name, level.name, change.previous.name, change.cause, change.lag, change.memory,
            )  # fmt: skip
        self._announcer.tell(data_type.table or data_type.name, controller, change)
