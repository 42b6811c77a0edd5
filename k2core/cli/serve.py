"""`k2 serve`: table and log to answers over HTTP."""

from __future__ import annotations

import click

from k2core.cli.processes import process
from k2core.cli.serving import serve_parts, tabled
from k2core.cli.session import current


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Port; else [api] port. 0 takes a free one.")
def serve(port: int | None) -> None:
    """Serve the HTTP API: the newest tick and the whole history in one answer."""
    from k2core.api.run import run_serve

    if port is not None:
        current().overrides["api", "port"] = str(port)
    with process("serve") as self, serve_parts(self.assembly, tabled(self.assembly)) as parts:
        run_serve(parts, self.signals.stopping, status=self.status)
