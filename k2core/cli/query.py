"""`k2 query`: the same answers as the API's, in this process: it reads log and table itself, no server is needed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from k2core.cli.serving import one_type, serve_parts
from k2core.cli.session import current
from k2core.cli.terminal import print_json, print_table
from k2core.errors import QueryError

if TYPE_CHECKING:
    from k2core.query.answer import Answer
    from k2core.query.tail import Tail

FORMATS = ("table", "json", "csv", "parquet", "arrow")
CATCH_UP_S = 60.0
SHOWN_ROWS = 20


@click.command()
@click.argument("data_type")
@click.option("--symbol", help="One symbol, spelled as its exchange spells it.")
@click.option("--exchange", help="One exchange.")
@click.option("--start", help="First event time: ISO 8601, epoch, or -15m.")
@click.option("--end", help="End of event time, exclusive.")
@click.option("--order", type=click.Choice(["asc", "desc"]), default="desc", show_default=True)
@click.option("--limit", type=click.IntRange(1), default=SHOWN_ROWS, show_default=True, help="Rows, at most.")
@click.option("--as-of", help="Only what the log had accepted by then.")
@click.option("--snapshot-id", type=int, help="Only the rows of this snapshot of the table.")
@click.option("--fields", help="Columns, separated by commas.")
@click.option("--format", "shape", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--explain", is_flag=True, help="Say what was read and what was pruned.")
def query(data_type: str, shape: str, as_json: bool, explain: bool, **asked: Any) -> None:
    """Ask for rows of DATA_TYPE (trades, quotes …): the newest tick and the whole history in one answer."""
    from k2core.api.params import rows_request
    from k2core.api.run import build_service

    assembly = current().assembly
    kind = one_type(assembly, data_type)
    request = rows_request({k: str(v) for k, v in asked.items() if v is not None}, kind, assembly.clock.now_us())
    with serve_parts(assembly, [kind]) as parts:
        service = build_service(parts)
        tail = service.tails[data_type]
        catch_up(tail, CATCH_UP_S)
        answer = service.rows(data_type, request)
        tail.close()
    show(answer, data_type, "json" if as_json else shape, explain)


def catch_up(tail: Tail, limit_s: float) -> None:
    """Read the log up to its end as of now.

    Raises:
        QueryError: It takes too long.
    """
    clock, broker = tail.parts.clock, tail.parts.broker
    deadline = clock.monotonic() + limit_s
    ends = broker.ends(tail.parts.topics)
    tail.advance(0)
    while any(tail.view.ends.get(place, 0) < end for place, end in ends.items()):
        if clock.monotonic() > deadline:
            raise QueryError(f"the log could not be read to its end in {limit_s:g} s; is `k2 write` running?")
        tail.advance(0)


def show(answer: Answer, name: str, shape: str, explain: bool) -> None:
    """Print an answer: rows on stdout, what it says of itself on stderr (in JSON, with the rows)."""
    from k2core.api import formats

    told = {**formats.facts(answer), **({"explain": answer.explain} if explain else {})}
    if shape == "json":
        print_json({"count": answer.rows.num_rows, name: formats.records(answer.rows), **told})
        return
    if shape == "table":
        rows = formats.records(answer.rows)
        print_table(answer.rows.column_names, [list(row.values()) for row in rows])
    else:
        click.echo(formats.TABULAR[shape](answer.rows), nl=False)
    for key, value in told.items():
        if key != "pin" or explain:
            click.echo(f"{key}: {json.dumps(value)}", err=True)
