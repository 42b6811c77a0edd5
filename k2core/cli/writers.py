"""`Writers`: the pipelines of every table of every sink, and those that topics made since call for.

Faults survived, while others run: a log, catalog or store that fails for a moment. What is in use stays so until what
replaces it is made.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from k2core.cli.degrading import Degrading
from k2core.cli.patience import patiently
from k2core.cli.preflight import check_dedup
from k2core.cli.processes import Process
from k2core.cli.serving import admission, tabled
from k2core.cli.topics import DEAD_LETTERS, consumer_name, declared_topics, ensure_topics, topics_of
from k2core.errors import K2Error, Permanent
from k2core.records.topics import Topic

if TYPE_CHECKING:
    from k2core.interfaces.broker import Broker
    from k2core.interfaces.sink import Sink
    from k2core.records.data_type import DataType
    from k2core.writer.pipeline import WriterPipeline


OWNER = f"{socket.gethostname()}:{os.getpid()}"
"""This process, as others are told of it."""


class _Wanted(NamedTuple):
    """A pipeline to make."""

    sink_name: str
    data_type: DataType
    topics: list[str]


class Writers:
    """Makes pipelines, and closes them.

    Args:
        process: Whose settings, clock, metrics and logger they get.
        log: The log, open.
        sinks: By name, open.
    """

    def __init__(self, process: Process, log: Broker, sinks: dict[str, Sink]) -> None:
        self._process, self._log, self._sinks = process, log, sinks
        self._made: dict[str, WriterPipeline] = {}
        self._degrading = Degrading(process, log, OWNER)

    @property
    def log(self) -> Broker:
        """The log."""
        return self._log

    @property
    def all(self) -> list[WriterPipeline]:
        """Every pipeline that is in use."""
        return list(self._made.values())

    def find(self, *, skip_gone: bool = False) -> list[WriterPipeline]:
        """New pipelines: of tables that have topics and none yet, and of those whose topics have become more.

        Args:
            skip_gone: See `k2 write --skip-gone`.

        Raises:
            K2Error: Log or sink cannot be opened.
        """
        return [self._renewed(one, skip_gone=skip_gone) for one in self._missing()]

    def look(self) -> list[WriterPipeline]:
        """As `find`, while the others run: what fails is told and tried again with the next look.

        What was made is handed over whatever became of the rest: the pipelines that it replaces are closed.
        """
        missing: list[_Wanted] = []
        found: list[WriterPipeline] = []
        with self._told("could not look for new topics"):
            missing = self._missing()
        for one in missing:
            with self._told(
                "could not write new topics data_type=%s topics=%s", one.data_type.name, ",".join(one.topics)
            ):
                found.append(self._renewed(one))
        for pipeline in found:
            self._process.logger.info(
                "new topics data_type=%s topics=%s", pipeline.parts.data_type.name, ",".join(pipeline.parts.topics)
            )
        return found

    def maintains(self, name: str) -> bool:
        """Whether a table's upkeep is this process's."""
        made = self._made.get(name)
        return made is None or made.maintains

    def close(self) -> None:
        """Close every pipeline."""
        for pipeline in self._made.values():
            pipeline.close()
        self._degrading.close()

    def _missing(self) -> list[_Wanted]:
        """What topics call for and no pipeline in use writes."""
        topics, found = wanted_topics(self._process, self._log), []
        for name in self._sinks:
            for data_type in tabled(self._process.assembly):
                known = self._made.get(consumer_name(name, data_type))
                if topics[data_type.name] and (known is None or set(topics[data_type.name]) - set(known.parts.topics)):
                    found.append(_Wanted(name, data_type, topics[data_type.name]))
        return found

    def _renewed(self, wanted: _Wanted, *, skip_gone: bool = False) -> WriterPipeline:
        """A pipeline, in use from now on; one that it replaces is closed, and stays in use where none can be made."""
        sink = self._sinks[wanted.sink_name]
        made = self._make(wanted.sink_name, sink, wanted.data_type, wanted.topics, skip_gone=skip_gone)
        replaced = self._made.get(made.parts.name)
        self._made[made.parts.name] = made
        if replaced is not None:
            with self._told("could not close what is replaced data_type=%s", wanted.data_type.name):
                replaced.close()
        return made

    @contextmanager
    def _told(self, what: str, *named: str) -> Iterator[None]:
        """Log what fails in here, and go on."""
        try:
            yield
        except K2Error as error:
            logger = self._process.logger
            level = logger.error if isinstance(error, Permanent) else logger.warning
            level(what + " error=%s", *named, error)

    def _make(
        self, sink_name: str, sink: Sink, data_type: DataType, topics: list[str], *, skip_gone: bool
    ) -> WriterPipeline:
        from k2core.writer.pipeline import WriterPipeline

        assembly, log = self._process.assembly, self._log
        with ExitStack() as undo:  # what was opened for a pipeline that cannot be made is closed: each look tries again
            made = WriterPipeline(
                data_type=data_type,
                topics=topics,
                consumer=undo.enter_context(closing(log.consumer(topics))),
                producer=undo.enter_context(closing(log.producer())),
                broker=log,
                sink_table=undo.enter_context(closing(sink.table(data_type))),
                dedup=undo.enter_context(closing(assembly.dedup(sink_name))),
                admission=admission(assembly, data_type),
                settings=assembly.config.writer,
                clock=assembly.clock,
                metrics=assembly.metrics,
                logger=self._process.logger,
                owner=OWNER,
                name=consumer_name(sink_name, data_type),
                skip_gone=skip_gone,
                degradation=self._degrading.of(data_type),
            )
            undo.pop_all()
        return made


@contextmanager
def opened(process: Process) -> Iterator[Writers]:
    """Open log and sinks.

    Raises:
        K2Error: They cannot be opened.
    """
    assembly = process.assembly
    check_dedup(assembly)
    with ExitStack() as stack:
        log = patiently(process, lambda: stack.enter_context(assembly.broker()))
        writers = Writers(process, log, {n: stack.enter_context(sink) for n, sink in assembly.sinks().items()})
        stack.callback(writers.close)
        yield writers


def wanted_topics(process: Process, log: Broker) -> dict[str, list[str]]:
    """By data type, the topics to write; they and their dead letters' topics exist afterwards."""
    assembly = process.assembly
    declared = declared_topics(assembly)
    found = {t.name: topics_of(t.name, log, declared) for t in tabled(assembly)}
    topics = {Topic.parse(name) for names in found.values() for name in names}
    topics |= {Topic(topic.asset_class, DEAD_LETTERS, topic.exchange) for topic in topics}
    ensure_topics(log, sorted(topics), assembly.data_types())
    return found
