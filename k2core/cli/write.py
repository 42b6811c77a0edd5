"""`k2 write`: log to tables. It takes its tables' partitions over at once, whoever had them; who lost them exits 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from k2core.cli.log_figures import log_figures
from k2core.cli.patience import patiently
from k2core.cli.processes import Process, process
from k2core.cli.session import current
from k2core.cli.writers import opened
from k2core.errors import K2Error

if TYPE_CHECKING:
    from k2core.writer.pipeline import WriterPipeline
    from k2core.writer.runner import WriterResult

DRAIN_SHARE = 0.8
"""Of the time that `k2 up` takes to stop, the share that the writer may use."""


@click.command()
@click.option("--once", is_flag=True, help="Commit what the log holds now, and exit.")
@click.option(
    "--begin-at-log-start",
    is_flag=True,
    help="Let a new table begin with what the log still has, and record in it what it lacks.",
)
@click.option(
    "--skip-gone",
    is_flag=True,
    help="Let a table that has records pass those that the log lost before it had them, and record them; this start only.",
)
def write(once: bool, begin_at_log_start: bool, skip_gone: bool) -> int:
    """Write the log's records to tables, each exactly once."""
    from k2core.writer.runner import run_writer
    from k2core.writer.upkeep import Upkeep

    if begin_at_log_start:
        current().overrides["writer", "begin"] = "log-start"
    with process("write") as self, opened(self) as writers, log_figures(self, writers.log):
        patiently(self, lambda: writers.find(skip_gone=skip_gone))
        made, config = writers.all, self.assembly.config
        if not made and once:
            return 0
        if not made:
            self.logger.info("nothing to write yet: no connector is configured, and the log has no topics; waiting")
        tables = {p.parts.name: p.parts.table for p in made}

        def tick(state: str) -> None:
            tell(self, writers.all)
            self.status.publish(state, facts=self.facts)

        result = run_writer(
            made,
            self.signals.stopping,
            once=once,
            clock=self.assembly.clock,
            drain_s=config.run.drain_s * DRAIN_SHARE,
            upkeep=Upkeep(tables, config.maintenance, self.assembly.metrics, self.logger, writers.maintains),
            on_tick=tick,
            find=writers.look,
            settings=config.writer,
        )
        tell(self, writers.all)
        ended(self, result)
    return result.exit_code


def tell(self: Process, pipelines: Sequence[WriterPipeline]) -> None:
    """What the status says of each table besides its metrics."""
    self.facts["degradation"] = {p.parts.name: p.level.name for p in pipelines}
    gone = {p.parts.name: [asdict(one) for one in p.gone] for p in pipelines if p.gone}
    if gone:
        self.facts["gone"] = gone


def ended(self: Process, result: WriterResult) -> None:
    """Say what stays in the log; raise what ended a pipeline.

    Raises:
        K2Error: A pipeline failed, or another writer took over; the message says who.
    """
    self.facts["remaining"] = {name: sum(left.values()) for name, left in result.remaining.items()}
    for name, count in self.facts["remaining"].items():
        self.logger.warning("not committed, stays in the log data_type=%s records=%d", name, count)
    for name, error in result.failed.items():
        raise error if isinstance(error, K2Error) else K2Error(f"{name}: {type(error).__name__}: {error}") from error
    if result.fence is not None:
        raise result.fence
