"""`k2 maintain`: compaction, expiry and cleaning of every table, once, now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from k2core.cli.session import current
from k2core.cli.terminal import print_json, print_table
from k2core.config.build import Assembly
from k2core.errors import ConfigError


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
@click.option("--json", "as_json", is_flag=True, help="One array of objects, one a table.")
def maintain(dry_run: bool, as_json: bool) -> None:
    """Compact closed slices, merge manifests, expire snapshots, delete what is unreachable. Answers stay the same."""
    found = list(maintained(current().assembly, dry_run))
    if as_json:
        print_json(found)
        return
    rows = [(f["sink"], f["table"], name, count) for f in found for name, count in f["counts"].items()]
    print_table(("sink", "table", "would do" if dry_run else "done", "count"), rows)


def maintained(assembly: Assembly, dry_run: bool) -> Iterator[dict[str, Any]]:
    """Maintain every table of every sink.

    Raises:
        SinkError: A table cannot be maintained.
        ConfigError: A sink has no tables yet.
    """
    for name, sink in assembly.sinks().items():
        if not sink.exists():
            raise ConfigError(f"there are no tables in [sinks.{name}] yet: run `k2 up` (or `k2 write`) first")
        with sink:
            for data_type in assembly.data_types().values():
                if data_type.table is None:
                    continue
                table = sink.table(data_type)
                report = table.maintain(dry_run=dry_run)
                table.close()
                yield {"sink": name, "table": data_type.table, "dry_run": dry_run, "counts": dict(report.counts)}
