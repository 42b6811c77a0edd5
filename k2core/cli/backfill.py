"""`k2 backfill --from-log`: brings back what writers shed under load, from the log, while it still has it.

Writers have to run: they store what is appended again. Killed anywhere, the same command does it again; what is stored
already is dropped as a copy. It waits while a writer sheds, and goes no faster than the writers store; on stderr it says
how far it is, and what it waits for.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from k2core.cli.backfill_pace import Pace, Progress, wait
from k2core.cli.session import current
from k2core.cli.terminal import print_json, print_table
from k2core.cli.topics import existing_log, topics_of
from k2core.errors import ConfigError, K2Error
from k2core.interfaces.shed import Shed

if TYPE_CHECKING:
    from k2core.config.build import Assembly
    from k2core.interfaces.broker import Broker
    from k2core.interfaces.sink import SinkTable
    from k2core.records.data_type import DataType
    from k2core.writer.restoring import Restoring

AT_ONCE = 16
ROUNDS = 10
"""What is shed again while it comes back is brought back again, at most so often."""
HEADERS = ("sink", "table", "topic", "partition", "first_offset", "next_offset", "symbols", "records", "state")


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of one range."""

    sink: str
    table: str
    topic: str
    partition: int
    first_offset: int
    next_offset: int
    symbols: list[str]
    records: int
    state: str


@dataclass(slots=True, kw_only=True)
class Job:
    """One table of one sink.

    Args:
        sink: The sink's name.
        data_type: Whose table.
        table: The table.
        work: Reads, appends and notes.
        progress: Is told what is appended.
        done: What became of its ranges.
    """

    sink: str
    data_type: DataType
    table: SinkTable
    work: Restoring
    progress: Progress
    done: list[Outcome] = field(default_factory=list)


@click.command()
@click.option("--from-log", "from_log", is_flag=True, required=True, help="Bring back what was shed, from the log.")
@click.option("--table", "tables", multiple=True, metavar="NAME", help="Only this table or data type; may repeat.")
@click.option("--symbol", "symbols", multiple=True, metavar="SYMBOL", help="Only this symbol; may repeat.")
@click.option(
    "--wait", "wait_s", type=click.FloatRange(min=0), default=120, show_default=True,
    help="Seconds without any progress of the writers after which it gives up.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One array of objects.")
def backfill(from_log: bool, tables: tuple[str, ...], symbols: tuple[str, ...], wait_s: float, as_json: bool) -> int:
    """Bring back what writers left out of tables under load.

    Exit code 1 where records are lost: the log had removed them.
    """
    assembly = current().assembly
    with ExitStack() as stack:
        log = stack.enter_context(existing_log(assembly))
        jobs = _jobs(assembly, log, tables, wait_s, stack)
        with stoppable(jobs):
            done = [one for job in jobs for one in _run(job, log, symbols, wait_s)]
    if as_json:
        print_json([{name: getattr(one, name) for name in HEADERS} for one in done])
    elif done:
        print_table(HEADERS, [[_shown(getattr(one, name)) for name in HEADERS] for one in done])
    lost = sum(one.records for one in done if one.state == "lost")
    back = sum(one.records for one in done if one.state == "restored")
    told = f"{back:,} records are back" + (f", {lost:,} are lost: the log had removed them" if lost else "")
    click.echo(told if done else "nothing is shed", err=True)
    return 1 if lost else 0


@contextmanager
def stoppable(jobs: Sequence[Job]) -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does, and either way it says how far it came."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        for job in jobs:
            job.progress.stopped(sum(one.records for one in job.done))
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _jobs(assembly: Assembly, log: Broker, tables: Sequence[str], wait_s: float, stack: ExitStack) -> list[Job]:
    from k2core.cli.serving import admission, tabled
    from k2core.degradation.board import LevelBoard
    from k2core.writer.restoring import Restoring

    kinds = tabled(assembly)
    if unknown := sorted(set(tables) - {name for kind in kinds for name in (kind.name, kind.table)}):
        known = ", ".join(kind.name for kind in kinds)
        raise ConfigError(f"--table {unknown[0]}: there is no such table; data types with a table: {known}")
    board, jobs = LevelBoard(log, assembly.clock, assembly.config.degradation.announce_s), []
    stack.callback(board.close)
    for sink_name, sink in assembly.sinks().items():
        opened = stack.enter_context(sink)
        for kind in (k for k in kinds if not tables or {k.name, k.table} & set(tables)):
            if not (topics := topics_of(kind.name, log)):
                continue
            table, producer = opened.table(kind), log.producer()
            stack.callback(table.close)
            stack.callback(producer.close)
            pace = Pace(assembly, log, table, topics, str(kind.table), board, wait_s, _say)
            progress = Progress(str(kind.table), _say)
            work = Restoring(
                data_type=kind, broker=log, producer=producer, table=table, admission=admission(assembly, kind), pace=pace,
                batch_records=pace.batch_records, appended=progress,
            )  # fmt: skip
            jobs.append(Job(sink=sink_name, data_type=kind, table=table, work=work, progress=progress))
    return jobs


def _run(job: Job, log: Broker, symbols: Sequence[str], wait_s: float) -> list[Outcome]:
    """Bring everything of one table back.

    Raises:
        K2Error: The writers do not store what was appended, or it is shed again and again.
    """
    for _ in range(ROUNDS):
        ranges = job.work.ranges(symbols or None)
        if not ranges:
            return job.done
        job.progress.begin(sum(one.records for one in ranges))
        for group in _groups(ranges):
            _bring(job, group, symbols or None, wait_s)
    raise K2Error(
        f"{job.data_type.table}: records that came back were shed again {ROUNDS} times: wait until the load is over, then "
        "run the same command"
    )


def _groups(ranges: Sequence[Shed]) -> list[list[Shed]]:
    """What is noted in one step: some ranges at a time, so that a long backfill that is cut off keeps what it did."""
    return [list(ranges[at : at + AT_ONCE]) for at in range(0, len(ranges), AT_ONCE)]


def _bring(job: Job, ranges: Sequence[Shed], symbols: Sequence[str] | None, wait_s: float) -> None:
    done = [part for one in ranges for part in job.work.bring_back(one, symbols)]
    wait(lambda: job.work.is_back(done, job.table.head()), lambda: _stored(job), wait_s, str(job.data_type.table), _say)
    job.work.note(done)
    job.done += [_outcome(job, one) for one in done]


def _say(line: str) -> None:
    click.echo(line, err=True)


def _stored(job: Job) -> int:
    return sum(job.table.head().offsets.values())


def _outcome(job: Job, one: Shed) -> Outcome:
    return Outcome(
        sink=job.sink, table=str(job.data_type.table), topic=one.topic, partition=one.partition,
        first_offset=one.first_offset, next_offset=one.next_offset, symbols=sorted(one.names), records=one.records,
        state=one.state,
    )  # fmt: skip


def _shown(value: Any) -> Any:
    return " ".join(value) if isinstance(value, list) else value
