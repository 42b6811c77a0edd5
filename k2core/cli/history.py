"""Is the log the one that fed the tables? What `k2 ingest` and `k2 doctor` ask; writers and tails ask it themselves.

As a program (`python -m k2core.cli.history [--config …]`) it is run beside a starting `k2 ingest`, in a process of its
own at low priority: reading tables takes 80 MB of libraries that capture has no use for. It survives whatever it meets:
only a log that is proved to be another one stops capture.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING

import click

from k2core.broker.history import check_history
from k2core.cli.session import Session, current
from k2core.cli.topics import existing_log
from k2core.config.build import Assembly
from k2core.errors import K2Error, TopicChangedError

if TYPE_CHECKING:
    from k2core.cli.processes import Process

REPLACED = 9
"""Exit code: the log is not the tables' own."""
NICE = 10
LIMIT_S = 120.0
"""Longer is not waited for: tables that cannot be read do not stop capture."""


def check_tables(assembly: Assembly) -> None:
    """Compare the log with every table of the first sink; there may be neither yet.

    Raises:
        TopicChangedError: The log is another one, or an older copy.
        K2Error: Log or tables cannot be read.
    """
    if not assembly.broker().exists():
        return
    with existing_log(assembly) as log, assembly.query_source() as source:
        for data_type in assembly.data_types().values():
            if data_type.table is not None:
                check_history(log, source.table(data_type).newest(), data_type.table)


async def watch(self: Process, stop: asyncio.Event) -> TopicChangedError | None:
    """Check in another process, while capture has begun; sets `stop` where the log is the wrong one.

    Returns:
        What to end with; None where nothing was proved wrong.
    """
    program = [sys.executable, "-m", "k2core.cli.history", *self.session.arguments()]
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*program, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(LIMIT_S):
            said = (await child.communicate())[0].decode(errors="replace").strip()
    except TimeoutError:
        self.logger.warning("the log could not be compared with the tables in %g s", LIMIT_S)
        return None
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    if child.returncode != REPLACED:
        return None
    stop.set()
    return TopicChangedError(f"capture stopped, for its records would be passed over: {said}")


@click.command()
@click.option("--config", "config")
@click.option("--plugin", "plugins", multiple=True)
@click.pass_context
def check(context: click.Context, config: str | None, plugins: tuple[str, ...]) -> int:
    """Exit with `REPLACED` and the reason on stdout where the log is not the tables' own; else 0."""
    from pathlib import Path

    context.obj = Session(Path(config) if config else None, [Path(plugin) for plugin in plugins])
    with contextlib.suppress(OSError):
        os.nice(NICE)
    try:
        check_tables(current().assembly)
    except TopicChangedError as error:
        click.echo(str(error))
        return REPLACED
    except (K2Error, OSError) as error:
        click.echo(f"not compared: {error}", err=True)
    return 0


if __name__ == "__main__":
    sys.exit(check(standalone_mode=False))
