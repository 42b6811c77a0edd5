"""`k2 ingest`: exchanges to log. An exchange that is away is tried for ever; a log that is full is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from k2core.cli.degrading import watched_levels
from k2core.cli.history import watch
from k2core.cli.patience import patiently
from k2core.cli.preflight import RunLock
from k2core.cli.processes import Process, process
from k2core.cli.session import current
from k2core.cli.topics import DEAD_LETTERS, consumer_name, declared_topics, ensure_topics
from k2core.config.build import Capture
from k2core.errors import K2Error
from k2core.interfaces.connector import Connector
from k2core.records.topics import Topic

if TYPE_CHECKING:
    from k2core.ingest.pipeline import IngestPipeline
    from k2core.ingest.run import Ended
    from k2core.interfaces.broker import Broker

TELL_S = 0.5
DRAIN_SHARE = 0.4
"""Of the time that `k2 up` takes to stop, the share that ingest may use."""


@click.command()
def ingest() -> None:
    """Capture the configured exchanges into the log."""
    # Before the status is touched: it may be another one's.
    with RunLock(current().config.run.path, "ingest"), process("ingest") as self, pipelines(self) as made:
        with watched_levels(self):
            results = asyncio.run(run(self, made))
        report(self, results)


async def run(self: Process, made: Sequence[IngestPipeline]) -> list[Ended]:
    """Run until a signal comes, telling now and then how it goes.

    Raises:
        TopicChangedError: The log is not the one that fed the tables.
    """
    from k2core.ingest.run import run_all

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    self.signals.call(lambda: loop.call_soon_threadsafe(stop.set))
    telling = asyncio.create_task(tell(self, made, stop))
    watching = asyncio.create_task(watch(self, stop))
    try:
        results = await run_all(made, stop, self.logger)
        if watching.done() and (replaced := watching.result()):
            raise replaced
        return results
    finally:
        telling.cancel()
        watching.cancel()
        await asyncio.gather(telling, watching, return_exceptions=True)


async def tell(self: Process, made: Sequence[IngestPipeline], stop: asyncio.Event) -> None:
    """Publish the status from the event loop itself: a loop that is stuck says nothing, and that is seen."""
    while True:
        facts = {pipeline.exchange: dict(pipeline.connector.facts()) for pipeline in made}
        self.status.publish("draining" if stop.is_set() else "running", facts=facts)
        await asyncio.sleep(TELL_S)


def report(self: Process, results: Sequence[Ended]) -> None:
    """Say what was captured; raise what ended a capture.

    Raises:
        K2Error: A capture failed.
    """
    for ended in results:
        accounts = ended.result
        self.logger.info(
            "captured exchange=%s frames=%d yielding=%d control=%d rejected=%d unsaved=%d records=%s",
            ended.exchange, accounts.frames, accounts.yielding, accounts.control, accounts.rejected,
            accounts.unsaved, accounts.records,
        )  # fmt: skip
    for error in (ended.error for ended in results if ended.error is not None):
        raise error if isinstance(error, K2Error) else K2Error(f"{type(error).__name__}: {error}") from error


@contextmanager
def pipelines(self: Process) -> Iterator[list[IngestPipeline]]:
    """One pipeline for each configured connector; topics exist, and the log keeps what the tables still need.

    Raises:
        K2Error: Nothing is configured, or the log cannot be opened.
    """
    captures = self.assembly.captures()
    with ExitStack() as stack:
        log = patiently(self, lambda: stack.enter_context(self.assembly.broker()))
        patiently(self, lambda: prepare(self, log))
        yield [pipeline(self, log, replace(c, source=recorded(self, c, connector(self, c))), stack) for c in captures]


def prepare(self: Process, log: Broker, topics: Sequence[Topic] | None = None) -> None:
    """Make topics (those of the configured connectors), and register who will read them before a record can expire."""
    assembly = self.assembly
    named, data_types = topics or (), assembly.data_types()
    topics = declared_topics(assembly) if topics is None else topics
    ensure_topics(log, topics, data_types, named)
    for sink in assembly.config.sinks:
        for data_type in (t for t in data_types.values() if t.table):
            if names := [topic.name for topic in topics if topic.data_type == data_type.name]:
                log.register(consumer_name(sink.instance, data_type), names)


def pipeline(self: Process, log: Broker, capture: Capture, stack: ExitStack) -> IngestPipeline:
    """The pipeline of one capture."""
    from k2core.ingest.pipeline import IngestPipeline

    assembly = self.assembly
    producer = log.producer()
    stack.callback(producer.close)
    data_types = {name: assembly.data_types()[name] for name in (*capture.data_types, DEAD_LETTERS)}
    return IngestPipeline(
        connector(self, capture),
        capture.normalizer,
        capture.facts,
        {name: kind for name, kind in data_types.items() if name != DEAD_LETTERS},
        producer,
        {},
        assembly.clock,
        assembly.metrics,
        self.logger.getChild(capture.instance),
        assembly.config.ingest,
        drain_s=assembly.config.run.drain_s * DRAIN_SHARE,
    )


def recorded(self: Process, capture: Capture, source: Connector) -> Connector:
    """A connector, its raw frames kept where the settings say so."""
    if not self.assembly.config.recording.enabled:
        return source
    from k2core.cli.record import tapped

    return tapped(self, capture, source)


def connector(self: Process, capture: Capture) -> Connector:
    """The connector itself, or the driver that makes one of a feed."""
    if isinstance(capture.source, Connector):
        return capture.source
    from k2core.feed.driver import FeedConnector
    from k2core.feed.settings import FeedSettings

    assembly = self.assembly
    settings = FeedSettings(
        queue_frames=assembly.config.ingest.queue_frames, batch_frames=assembly.config.ingest.batch_frames
    )
    logger = self.logger.getChild(capture.instance)
    return FeedConnector(capture.source, assembly.clock, logger, assembly.metrics, capture.facts.exchange, settings)
