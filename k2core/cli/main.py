"""`k2`: the command group, and how errors become one line on stderr and an exit code.

Exit codes: 0 done, 1 failed, 2 usage or settings, 3 a needed part is away, 4 fenced. A traceback is shown only where
the log level is DEBUG (`K2_RUN__LOG_LEVEL=DEBUG`).
"""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Sequence

import click

from k2core import __version__
from k2core.cli.lazy import LazyGroup, common_options
from k2core.cli.leaving import leave
from k2core.errors import Away, ConfigError, FencedError, K2Error, LogVersionError, PluginError, QueryError

COMMANDS = {
    "backfill": ("k2core.cli.backfill:backfill", "Bring back what was left out under load."),
    "config": ("k2core.cli.config_commands:config", "Show the settings that hold, or check them."),
    "consumers": ("k2core.cli.consumers:consumers", "List who reads the log, or remove one that never comes back."),
    "dashboards": ("k2core.cli.dashboards:dashboards", "Write dashboards for Grafana and rules for Prometheus."),
    "demo": ("k2core.cli.demo:demo", "See it work, without a network: a local exchange, k2 up, a tour."),
    "dlq": ("k2core.cli.dlq:dlq", "List dead letters: what could not become a record, and why."),
    "doctor": ("k2core.cli.doctor:doctor", "Look for what is wrong here, and say what repairs it."),
    "import": ("k2core.cli.importing:import_files", "Append the rows of CSV or Parquet files to the log."),
    "exchange": ("k2core.cli.exchange:exchange", "Be an exchange on this machine: k2 up without the internet."),
    "ingest": ("k2core.cli.ingest:ingest", "Exchanges to log."),
    "keys": ("k2core.cli.keys:keys", "Make, list and revoke API keys."),
    "lag": ("k2core.cli.lag:lag", "How far tables are behind the log."),
    "maintain": ("k2core.cli.maintain:maintain", "Compact, expire and clean tables."),
    "plugin": ("k2core.cli.plugin:plugin", "Write a plugin: a small one that works, to start from."),
    "plugins": ("k2core.cli.plugins:plugins", "List every component, data type and command."),
    "query": ("k2core.cli.query:query", "Ask for rows, the newest tick and the whole history in one call."),
    "record": ("k2core.cli.record:record", "Keep raw frames in files, without log and tables."),
    "replay": ("k2core.cli.replay:replay", "Play recorded frames again, into the log or as a local exchange."),
    "schema": ("k2core.cli.schema:schema", "Check the Avro schemas before deployment, or write them."),
    "serve": ("k2core.cli.serve:serve", "Table and log to answers over HTTP."),
    "topics": ("k2core.cli.topics_command:topics", "Show what topics and schemas a log lacks, and make them."),
    "up": ("k2core.cli.up:up", "Start ingest, write and serve, and mind them."),
    "write": ("k2core.cli.write:write", "Log to tables."),
}

EXIT_CODES: tuple[tuple[type, int], ...] = (
    (FencedError, 4),
    (PluginError, 3),
    (Away, 3),
    (ConfigError, 2),
    (LogVersionError, 2),
)


@click.group(cls=LazyGroup, lazy=COMMANDS, params=common_options(), context_settings={"max_content_width": 110})
@click.version_option(__version__, prog_name="k2")
def cli() -> None:
    """Capture market data, prove that nothing is missing, and query tick and history in one call."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `k2` and exit."""
    leave(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code.
    """
    try:
        code = cli.main(None if arguments is None else list(arguments), prog_name="k2", standalone_mode=False)
    except click.exceptions.Exit as ended:
        return int(ended.exit_code)
    except click.exceptions.Abort:
        return _fail("interrupted", 130)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "k2"
        return _fail(f"{error.format_message()} (`{path} --help` lists what there is)", 2)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:
        return _reader_left()
    except BaseExceptionGroup as group:
        return _report(_first(group))
    except Exception as error:  # noqa: BLE001 - the top: whatever it is becomes one line and an exit code
        return _report(error)
    return code if isinstance(code, int) else 0


def exit_code(error: BaseException) -> int:
    """The exit code that an error stands for; a question that cannot be asked is usage."""
    if isinstance(error, QueryError) and error.status < 500:
        return 2
    if isinstance(error, PermissionError | NotADirectoryError | FileExistsError):
        return 2
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)


def _report(error: BaseException) -> int:
    if wants_tracebacks():
        traceback.print_exception(error)
    text = str(error) if isinstance(error, K2Error) else f"{type(error).__name__}: {error}"
    if isinstance(error, PermissionError | NotADirectoryError | FileExistsError):
        text = f"{error.filename} cannot be written: {error.strerror}; make it writable, or set another path in k2.toml"
    return _fail(text, exit_code(error))


def _fail(text: str, code: int) -> int:
    click.echo("error: " + " ".join(text.split()), err=True)
    return code


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The most telling error of a group: one of k2's own where there is one."""
    found = group.subgroup(lambda e: isinstance(e, K2Error)) or group
    inner: BaseException = found
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    return inner


def _reader_left() -> int:
    """Whoever read our output is gone (`k2 query … | head`): no error of ours, and nothing more can be printed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


def wants_tracebacks() -> bool:
    """Whether k2's log level is DEBUG, by settings already read or by its variable."""
    named = os.environ.get("K2_RUN__LOG_LEVEL", "").upper() == "DEBUG"
    return named or logging.getLogger("k2").level == logging.DEBUG


if __name__ == "__main__":
    main()
