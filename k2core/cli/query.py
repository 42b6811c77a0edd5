"""`k2 query`: the same answers as the API's, in this process: it reads log and table itself, no server is needed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from k2core.cli.serving import one_type, serve_parts
from k2core.cli.session import current
from k2core.cli.terminal import print_json, print_table, readable_times
from k2core.errors import QueryError

if TYPE_CHECKING:
    from k2core.query.answer import Answer, RowsRequest
    from k2core.query.service import QueryService
    from k2core.query.tail import Tail

FORMATS = ("table", "json", "ndjson", "csv", "parquet", "arrow")
CATCH_UP_S = 60.0
SHOWN_ROWS = 20
BARS, SYMBOLS = "ohlcv", "symbols"
"""What may stand in the place of a data type."""
NOT_ASKED = {BARS: ("snapshot_id", "fields"), SYMBOLS: ("symbol", "snapshot_id", "fields")}


@click.command()
@click.argument("what", metavar="DATA_TYPE|ohlcv|symbols")
@click.option("--symbol", help="One symbol, spelled as its exchange spells it.")
@click.option("--exchange", help="One exchange.")
@click.option("--start", help="First event time: ISO 8601, epoch, or -15m.")
@click.option("--end", help="End of event time, exclusive.")
@click.option("--order", type=click.Choice(["asc", "desc"]), help="By event time; newest first (desc) if not given.")
@click.option("--limit", type=click.IntRange(1), default=SHOWN_ROWS, show_default=True, help="Rows, at most.")
@click.option("--as-of", help="Only what the log had accepted by then.")
@click.option("--snapshot-id", type=int, help="Only the rows of this snapshot of the table.")
@click.option("--fields", help="Columns, separated by commas.")
@click.option("--interval", help="Length of a bar of ohlcv: 1m, 4h …")
@click.option("--of", "data_type", default="trades", show_default=True, help="Whose symbols.")
@click.option("--format", "shape", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--explain", is_flag=True, help="Say what was read and what was pruned.")
def query(
    what: str, shape: str, as_json: bool, explain: bool, interval: str | None, data_type: str, **asked: Any
) -> None:
    """Ask for rows of DATA_TYPE (trades, quotes …), for bars of trades (ohlcv), or for the symbols there are.

    The newest tick and the whole history are in one answer.
    """
    from k2core.api import formats
    from k2core.api.params import rows_request
    from k2core.api.run import build_service

    if (interval is None) == (what == BARS):
        raise click.UsageError("--interval belongs to ohlcv, which needs it: k2 query ohlcv --interval 1m --symbol …")
    if wrong := [name for name in NOT_ASKED.get(what, ()) if asked[name] is not None]:
        raise click.UsageError(f"--{wrong[0].replace('_', '-')} cannot be given with {what}")
    assembly = current().assembly
    kind = one_type(assembly, {BARS: "trades", SYMBOLS: data_type}.get(what, what))
    request = rows_request({k: str(v) for k, v in asked.items() if v is not None}, kind, assembly.clock.now_us())
    with serve_parts(assembly, [kind], reading=True) as parts:
        service = build_service(parts)
        tail = service.tails[kind.name]
        catch_up(tail, CATCH_UP_S)
        answer = ask(service, what, kind.name, request, interval)
        tail.close()
    answer = replace(answer, rows=formats.shown(answer.rows, asked["fields"] is not None))
    show(answer, "bars" if what == BARS else what, "json" if as_json else shape, explain)


def ask(service: QueryService, what: str, data_type: str, request: RowsRequest, interval: str | None) -> Answer:
    """Ask a service for rows, bars or symbols."""
    if what == SYMBOLS:
        return service.symbols(data_type, request)
    if interval is not None:
        from k2core.query.times import parse_interval

        return service.ohlcv(request, parse_interval(interval))
    return service.rows(data_type, request)


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
    for warning in answer.warnings:
        click.echo(f"warning: {warning}", err=True)
    if shape == "json":
        print_json({"count": answer.rows.num_rows, name: formats.records(answer.rows), **told})
        return
    if shape == "table":
        names, rows = answer.rows.column_names, formats.records(answer.rows)
        print_table(names, readable_times(names, [list(row.values()) for row in rows]))
    else:
        click.echo(formats.TABULAR[shape](answer.rows), nl=False)
    for key, value in told.items():
        if (key != "pin" or explain) and key != "warnings":
            click.echo(f"{key}: {json.dumps(value)}", err=True)
