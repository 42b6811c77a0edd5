"""`k2 schema check`: will what is stored stay readable? `k2 schema export`: the Avro schemas, as files for others."""

from __future__ import annotations

import json
from pathlib import Path

import click

from k2core.cli.session import current
from k2core.cli.terminal import print_findings
from k2core.discovery import Registry
from k2core.interfaces.checks import Finding


@click.group()
def schema() -> None:
    """Check the Avro schemas before deployment, or write them."""


@schema.command("check")
@click.option(
    "--against", "path", type=click.Path(path_type=Path), metavar="FILE|FOLDER",
    help="Compare with schemas that `k2 schema export` wrote, instead of asking the log.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One array of {name, ok, detail, repair}.")
def check_lineages(path: Path | None, as_json: bool) -> int:
    """Say whether the schemas of every data type fit each other, and what the log or its registry has. Changes nothing.

    Exit code 1 where one does not: what is stored, or what others write meanwhile, could not be read.
    """
    from k2core.cli.schema_check import against, in_log, own_lineages

    session, found = current(), list[Finding]()
    try:
        found += own_lineages(session)
        found += in_log(session) if path is None else against(session, path)
    finally:  # what was found is told, whether the log answers or not
        print_findings(found, as_json)
    return 0 if all(one.ok for one in found) else 1


@schema.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 where a file is missing or stale.")
def export(folder: Path, check: bool) -> int:
    """Write FOLDER/{data_type}/v{n}.avsc for every version of every data type."""
    stale = 0
    for name, text in schema_files(current().registry).items():
        path = folder / name
        if path.is_file() and path.read_text("utf-8") == text:
            continue
        stale += 1
        if check:
            click.echo(
                f"{path} is {'stale' if path.is_file() else 'missing'}: run `k2 schema export {folder}`", err=True
            )
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        click.echo(f"wrote {path}")
    return 1 if check and stale else 0


def schema_files(registry: Registry) -> dict[str, str]:
    """Relative path → text of every schema."""
    return {
        f"{name}/v{version}.avsc": json.dumps(entry.component.avro_schema(version), indent=2) + "\n"
        for name, entry in registry.usable("data-type").items()
        for version in range(1, entry.component.versions + 1)
    }
