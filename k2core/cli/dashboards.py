"""`k2 dashboards`: the dashboards for Grafana and the rules for Prometheus, as files."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def dashboards(folder: Path) -> None:
    """Write dashboards and rules into FOLDER, over those of an earlier k2."""
    assets = resources.files("k2core.telemetry") / "assets"
    found = [*(assets / "dashboards").iterdir(), assets / "k2.rules.yml"]
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(found, key=lambda one: one.name):
        path = folder / file.name
        path.write_bytes(file.read_bytes())
        click.echo(path)
