"""`k2 schema export`: the Avro schemas of every data type, as files for others to read. k2 itself never reads them."""

from __future__ import annotations

import json
from pathlib import Path

import click

from k2core.cli.session import current
from k2core.discovery import Registry


@click.group()
def schema() -> None:
    """Write the Avro schemas."""


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
