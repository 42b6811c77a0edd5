"""`k2 write`: log to tables. It takes its tables' partitions over at once, whoever had them; who lost them exits 4."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import click

from k2core.cli.processes import Process, process
from k2core.cli.serving import admission, tabled
from k2core.cli.topics import DEAD_LETTERS, declared_topics, ensure_topics, topics_of
from k2core.errors import ConfigError, K2Error
from k2core.records.topics import Topic

if TYPE_CHECKING:
    from k2core.interfaces.broker import Broker
    from k2core.interfaces.sink import Sink
    from k2core.records.data_type import DataType
    from k2core.writer.pipeline import WriterPipeline
    from k2core.writer.runner import WriterResult

DRAIN_SHARE = 0.8
"""Of the time that `k2 up` takes to stop, the share that the writer may use."""


@click.command()
@click.option("--once", is_flag=True, help="Commit what the log holds now, and exit.")
def write(once: bool) -> int:
    """Write the log's records to tables, each exactly once."""
    from k2core.writer.runner import run_writer
    from k2core.writer.upkeep import Upkeep

    with process("write") as self, pipelines(self) as made:
        if not made and once:
            return 0
        if not made:
            raise ConfigError("nothing to write: no connector is configured and the log has no topics yet")
        tables = {p.parts.name: p.parts.table for p in made}
        assembly = self.assembly
        result = run_writer(
            made,
            self.signals.stopping,
            once=once,
            clock=assembly.clock,
            drain_s=assembly.config.run.drain_s * DRAIN_SHARE,
            upkeep=Upkeep(tables, assembly.config.maintenance, assembly.metrics, self.logger),
            on_tick=lambda state: self.status.publish(state, facts=self.facts),
        )
        for lost in (p for p in made if p.parts.data_type.name in result.fenced):
            lost.step(0)  # raises, and says who took over
        ended(self, result)
    return result.exit_code


def ended(self: Process, result: WriterResult) -> None:
    """Say what stays in the log; raise what ended a pipeline.

    Raises:
        K2Error: A pipeline failed.
    """
    self.facts["remaining"] = {name: sum(left.values()) for name, left in result.remaining.items()}
    for name, count in self.facts["remaining"].items():
        self.logger.warning("not committed, stays in the log data_type=%s records=%d", name, count)
    for name, error in result.failed.items():
        raise error if isinstance(error, K2Error) else K2Error(f"{name}: {type(error).__name__}: {error}") from error


@contextmanager
def pipelines(self: Process) -> Iterator[list[WriterPipeline]]:
    """One pipeline for each table of each sink that has topics.

    Raises:
        K2Error: Log or sink cannot be opened.
    """
    assembly = self.assembly
    with ExitStack() as stack:
        log = stack.enter_context(assembly.broker())
        topics = wanted_topics(self, log)
        made = []
        for name, sink in assembly.sinks().items():
            stack.enter_context(sink)
            for data_type in tabled(assembly):
                if topics[data_type.name]:
                    made.append(pipeline(self, log, name, sink, data_type, topics[data_type.name]))
                    stack.callback(made[-1].close)
        yield made


def wanted_topics(self: Process, log: Broker) -> dict[str, list[str]]:
    """By data type, the topics to write; they and their dead letters' topics exist afterwards."""
    assembly = self.assembly
    declared = declared_topics(assembly)
    found = {t.name: topics_of(t.name, log, declared) for t in tabled(assembly)}
    topics = {Topic.parse(name) for names in found.values() for name in names}
    topics |= {Topic(topic.asset_class, DEAD_LETTERS, topic.exchange) for topic in topics}
    ensure_topics(log, sorted(topics), assembly.data_types())
    return found


def pipeline(
    self: Process, log: Broker, sink_name: str, sink: Sink, data_type: DataType, topics: list[str]
) -> WriterPipeline:
    """The pipeline of one table."""
    from k2core.writer.pipeline import WriterPipeline

    assembly = self.assembly
    return WriterPipeline(
        data_type=data_type,
        topics=topics,
        consumer=log.consumer(topics),
        producer=log.producer(),
        broker=log,
        sink_table=sink.table(data_type),
        dedup=assembly.dedup(),
        admission=admission(assembly, data_type),
        settings=assembly.config.writer,
        clock=assembly.clock,
        metrics=assembly.metrics,
        logger=self.logger,
        owner=f"{socket.gethostname()}:{os.getpid()}",
        name=consumer_name(sink_name, data_type),
    )


def consumer_name(sink: str, data_type: DataType) -> str:
    """Name under which the log knows a table as a consumer: retention keeps what it has not released."""
    return f"{sink}.{data_type.table}"
