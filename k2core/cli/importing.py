"""`k2 import`: files into the log, through the pipeline that captures exchanges; `k2 write` stores what they hold.

Survives `kill -9` at any place: run it again, rows that are in the log are passed over, or come again with the same ids
and are dropped as duplicates. A log that takes no more is waited for. One file after the other; the first that cannot
be read ends the run, and what was read of it stays.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from k2core.cli.import_marks import Marks
from k2core.cli.processes import Process, process
from k2core.cli.session import current
from k2core.cli.terminal import print_json, print_table
from k2core.cli.topics import DEAD_LETTERS
from k2core.config.build import Capture
from k2core.errors import ConfigError, K2Error
from k2core.interfaces.connector import Connector
from k2core.interfaces.frames import FrameBatch
from k2core.interfaces.importer import Importer, ImportSource
from k2core.records.topics import Topic

if TYPE_CHECKING:
    from k2core.ingest.pipeline import IngestPipeline
    from k2core.interfaces.broker import Broker

TELL_S = 0.5
DEFAULT = "files"


@dataclass(slots=True)
class Imported:
    """The accounts of one file: rows = known + appended + dead_letters, once it is whole.

    Args:
        known: Rows that the log had already.
        appended: Rows that are records in the log now.
        dead_letters: Rows that were refused; each names file, row and reason.
        whole: Whether the file was read to its end.
    """

    file: str
    topic: str
    rows: int
    known: int
    appended: int
    dead_letters: int
    whole: bool


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--as", "name", default="", metavar="NAME", help="The section [imports.NAME]; needed where there are several."
)
@click.option("--set", "given", multiple=True, metavar="KEY=VALUE", help="A setting of that section, as exchange=asx.")
@click.option("--json", "as_json", is_flag=True, help="The accounts as one JSON array.")
def import_files(files: tuple[Path, ...], name: str, given: tuple[str, ...], as_json: bool) -> None:
    """Append the rows of FILES to the log.

    A row is a record in the log, or a dead letter that names file, row and reason. The same file again, also under
    another name, adds nothing; one that grew adds its new rows.
    """
    for folder in (file for file in files if file.is_dir()):
        raise ConfigError(f"{folder} is a folder: name the files in it, as {folder}/*.csv")
    name = name or _only(given)
    if given:
        _override(name, given)
    with process("import") as self, ExitStack() as stack:
        importer = _importer(self, name)
        log = stack.enter_context(self.assembly.broker())
        done = [asyncio.run(_one(self, log, importer, file, not as_json)) for file in files]
    _print(done, as_json)


def _importer(self: Process, name: str) -> Importer:
    """The importer of a section.

    Raises:
        ConfigError: There is no such section, or its settings are wrong; all that is wrong with them is told at once.
    """
    from k2core.config.validate import SectionError

    try:
        importer = self.assembly.importers().get(name)
    except SectionError as error:  # `k2 config check` knows nothing of --set
        raise ConfigError("; ".join(error.problems)) from error
    if importer is None:
        there = ", ".join(s.instance for s in self.assembly.config.imports) or "none"
        raise ConfigError(f"there is no section [imports.{name}]; there are: {there}")
    return importer


def _only(given: Sequence[str]) -> str:
    """The section that is meant where none is named."""
    sections = [s.instance for s in current().config.imports]
    if len(sections) > 1:
        raise ConfigError(f"--as NAME: which of [imports.…] is meant? There are: {', '.join(sections)}")
    if not sections and not given:
        raise ConfigError("nothing says how to read the files: add [imports.NAME] to k2.toml, or give --set KEY=VALUE")
    return sections[0] if sections else DEFAULT


def _override(name: str, given: Sequence[str]) -> None:
    """Lay `--set` over the settings; a section that is not in the file is one of the importer `files`."""
    session = current()
    use = next((s.use for s in session.config.imports if s.instance == name), DEFAULT)
    session.overrides["imports", name, "use"] = use
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {text}: wanted KEY=VALUE, as exchange=asx")
        session.overrides[("imports", name, *key.strip().split("."))] = value
    vars(session).pop("config", None)  # read again, with these


async def _one(self: Process, log: Broker, importer: Importer, file: Path, shown: bool) -> Imported:
    from k2core.cli.ingest import pipeline, prepare

    if self.signals.stopping.is_set():
        raise K2Error(f"interrupted before {file}; starting again is safe: nothing doubles")
    facts, (data_type,) = importer.facts, tuple(importer.facts.channels)
    _check_ids(self, importer, data_type)
    topic, letters = (Topic(facts.asset_class, name, facts.exchange) for name in (data_type, DEAD_LETTERS))
    fresh = topic.name not in log.topics()
    prepare(self, log, [topic, letters])
    marks = Marks(self.assembly.config.run.path / "imports", log, [topic.name, letters.name], self.logger)
    source, stop, loop = importer.source(file, marks.all), asyncio.Event(), asyncio.get_running_loop()
    self.signals.call(lambda: loop.is_closed() or loop.call_soon_threadsafe(stop.set))
    ending = Ending(source, stop.set)
    with ExitStack() as stack:
        made = pipeline(self, log, Capture(
            instance=facts.exchange, source=ending, normalizer=importer.normalizer, facts=facts, data_types=(data_type,)
        ), stack)  # fmt: skip
        await _run(made, source, stop, marks, Progress(file, source, shown and sys.stderr.isatty()))
    result = made.result
    if fresh and _others_run(self):
        self.logger.warning("topic %s is new: k2 write and k2 serve see it once they are started again", topic.name)
    whole = ending.whole and not result.unsaved and not result.unaccounted
    if not whole:
        raise K2Error(f"{file}: stopped after {result.frames:,} rows; starting again is safe: nothing doubles")
    rows = source.known + result.frames
    return Imported(str(file), topic.name, rows, source.known, result.yielding, result.rejected, whole)


async def _run(
    made: IngestPipeline, source: ImportSource, stop: asyncio.Event, marks: Marks, progress: Progress
) -> None:
    async def tell() -> None:
        while True:
            marks.keep(source.mark(made.result.frames))
            progress.show(made.result.frames)
            await asyncio.sleep(TELL_S)

    telling = asyncio.create_task(tell())
    try:
        await made.run(stop)
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
        marks.keep(source.mark(made.result.frames))
        progress.end()


class Ending(Connector):
    """A source that ends, for a pipeline that runs until it is told to stop.

    Args:
        source: The file.
        done: Called behind its last row.
    """

    def __init__(self, source: ImportSource, done: Callable[[], object]) -> None:
        self._source, self._done = source, done
        self._closed = asyncio.Event()
        self.whole = False

    async def frames(self) -> AsyncIterator[FrameBatch]:
        """The file's rows; ends once it is closed."""
        async for batch in self._source.frames():
            yield batch
            if self._closed.is_set():
                return
        self.whole = True
        self._done()
        await self._closed.wait()

    async def __aenter__(self) -> Ending:
        await self._source.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        self._closed.set()
        await self._source.__aexit__(*error)


@dataclass(slots=True)
class Progress:
    """One line on a terminal that says how far a file is."""

    file: Path
    source: ImportSource
    shown: bool

    def show(self, rows: int) -> None:
        """Write it anew."""
        if self.shown:
            share = self.source.share()
            part = "" if share is None else f"{share:4.0%}  "
            click.echo(f"\r{self.file.name}  {part}{self.source.known + rows:,} rows", nl=False, err=True)

    def end(self) -> None:
        """Leave the line."""
        if self.shown:
            click.echo("", err=True)


def _check_ids(self: Process, importer: Importer, data_type: str) -> None:
    """Rows of an exchange that a connector captures must have that exchange's ids, or they would double."""
    for entry in self.assembly.registry.usable("connector").values():
        facts = entry.component.capabilities
        live = facts.channels.get(data_type) if facts.exchange == importer.facts.exchange else None
        if live is not None and live.ids != importer.facts.channels[data_type].ids:
            raise ConfigError(
                f"{entry.provenance} captures {data_type} of {facts.exchange} with {live.ids} ids: name the column of the "
                f'exchange\'s own ids and set ids = "{live.ids}", or give the import another exchange'
            )


def _others_run(self: Process) -> bool:
    from k2core.telemetry.status import read_statuses

    found = read_statuses(self.assembly.config.run.path)
    return any(found[name].state == "running" for name in ("write", "serve") if name in found)


def _print(done: Sequence[Imported], as_json: bool) -> None:
    if as_json:
        print_json([asdict(one) for one in done])
        return
    headers = ("file", "topic", "rows", "known", "appended", "dead_letters")
    print_table(headers, [[getattr(one, name) for name in headers] for one in done])
