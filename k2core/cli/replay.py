"""`k2 replay`: recorded frames again: checked, or through the normalizer into the log, or as a local exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from k2core.cli.processes import Process, process
from k2core.cli.terminal import print_json, print_table
from k2core.cli.topics import DEAD_LETTERS
from k2core.config.build import Capture
from k2core.errors import K2Error
from k2core.records.topics import Topic

if TYPE_CHECKING:
    from k2core.ingest.run import Ended
    from k2core.interfaces.broker import Broker
    from k2core.interfaces.connector import Connector
    from k2core.recording.reader import RecordedFile
    from k2core.recording.replaying import Window


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--exchange", default="", help="Only this exchange's; needed for files that do not say whose they are.")
@click.option("--from", "first", default="", metavar="TIME", help="Only frames received from then on.")
@click.option("--to", "last", default="", metavar="TIME", help="Only frames received before then.")
@click.option("--speed", type=click.FloatRange(min=0), help="1: as recorded, 10: ten times as fast, 0: at once.")
@click.option("--skip-unknown", is_flag=True, help="Pass over frames of channels that k2 does not read.")
@click.option("--check", is_flag=True, help="Read everything, say what is there and whether it is whole.")
@click.option("--serve", is_flag=True, help="Be the exchange, on this machine, for an unchanged connector.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="With --serve: port; else a free one.")
@click.option("--json", "as_json", is_flag=True, help="With --check: one JSON value.")
def replay(path: Path, **options: Any) -> None:
    """Play what `k2 record` kept.

    Records go into the log with the recorded receive times and source `replay`; `k2 write` stores those that are not
    stored yet. TIME is ISO 8601 (UTC where no zone is named), or Unix seconds, ms, us or ns.
    """
    from k2core.recording.replaying import files_of

    if options["check"] and options["serve"]:
        raise click.UsageError("--check reads, --serve plays: choose one")
    if options["check"]:
        check(path, options["exchange"], options["as_json"])
        return
    files = files_of(path, options["exchange"])
    window = _window(options["first"], options["last"])
    if options["serve"]:
        from k2core.cli.replay_serve import serve_recording

        serve_recording(files, window, 1 if options["speed"] is None else options["speed"], options["port"])
        return
    with process("replay") as self:
        into_log(self, files, window, options["speed"] or 0, options["skip_unknown"])


def check(path: Path, exchange: str, as_json: bool) -> None:
    """Read everything and print a line a file.

    Raises:
        K2Error: A file is damaged.
    """
    from k2core.recording.checking import report
    from k2core.recording.names import recordings

    found = [report(one) for one in recordings(path)]
    if as_json:
        print_json([one.as_json() for one in found])
    else:
        print_table(
            ["file", "exchange", "frames", "first", "last", "bytes", "bytes/frame", "state"],
            [one.row() for one in found if exchange in ("", one.exchange)],
        )
    if damaged := [one for one in found if one.error]:
        raise K2Error(f"{len(damaged)} of {len(found)} files are damaged; the first: {damaged[0].error}")


def into_log(self: Process, files: Sequence[RecordedFile], window: Window, speed: float, skip_unknown: bool) -> None:
    """Frames of each exchange through its normalizer to the log, one exchange after the other.

    Raises:
        K2Error: A recording is damaged, an exchange has no plugin here, or the log refuses.
    """
    from k2core.cli.ingest import report

    with ExitStack() as stack:
        log = stack.enter_context(self.assembly.broker())
        for exchange in dict.fromkeys(file.exchange for file in files):
            of_it = [file for file in files if file.exchange == exchange]
            report(self, asyncio.run(_one(self, log, stack, of_it, window, speed, skip_unknown)))


async def _one(
    self: Process,
    log: Broker,
    stack: ExitStack,
    files: Sequence[RecordedFile],
    window: Window,
    speed: float,
    skip: bool,
) -> list[Ended]:
    from k2core.cli.ingest import pipeline, prepare, tell
    from k2core.ingest.run import run_all
    from k2core.recording.replaying import ReplayConnector

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    self.signals.call(lambda: loop.is_closed() or loop.call_soon_threadsafe(stop.set))
    source = ReplayConnector(files, self.assembly.clock, stop.set, speed=speed, window=window)
    capture = _capture(self, files, source, skip)
    facts = capture.facts
    prepare(self, log, [Topic(facts.asset_class, n, facts.exchange) for n in (*capture.data_types, DEAD_LETTERS)])
    made = pipeline(self, log, capture, stack)
    telling = asyncio.create_task(tell(self, [made], stop))
    try:
        ended = await run_all([made], stop, self.logger)
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
    if not source.complete and ended[0].error is None:
        raise K2Error(
            f"stopped after {source.played:,} frames, before the end; starting again is safe: nothing doubles"
        )
    return ended


def _capture(self: Process, files: Sequence[RecordedFile], source: Connector, skip: bool) -> Capture:
    """What a live capture would be, its frames from the files and its records marked as a replay's."""
    from k2core.recording.replaying import ReplayNormalizer

    normalizer, facts = self.assembly.normalizer_for(files[0].exchange)
    asked = dict.fromkeys(name for file in files for name in (file.data_types or tuple(facts.channels)))
    return Capture(
        instance=facts.exchange,
        source=source,
        normalizer=ReplayNormalizer(normalizer, skip_unknown=skip),
        facts=facts,
        data_types=tuple(name for name in asked if name in self.assembly.data_types()),
    )


def _window(first: str, last: str) -> Window:
    from k2core.clock import SystemClock
    from k2core.query.times import parse_time
    from k2core.recording.replaying import Window

    now_us = SystemClock().now_us()
    return Window(
        parse_time(first, now_us, "--from") * 1000 if first else 0,
        parse_time(last, now_us, "--to") * 1000 if last else 1 << 63,
    )
