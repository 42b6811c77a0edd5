"""How results are printed: aligned columns that are never coloured, wrapped or cut, or one JSON value."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from k2core.interfaces.checks import Finding

_MS, _US = 1_000, 1_000_000
_FIRST_S, _LAST_S = 631_152_000, 7_258_118_400  # 1990 and 2200


def print_table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows in aligned columns; numbers to the right."""
    cells = [[_text(v) for v in row] for row in rows]
    widths = [max([len(h), *(len(row[i]) for row in cells)]) for i, h in enumerate(headers)]
    right = [bool(rows) and all(isinstance(row[i], int | float | None) for row in rows) for i in range(len(headers))]
    for line in [list(headers), *cells]:
        padded = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True))
        click.echo("  ".join(padded).rstrip())


def readable_times(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Rows for people: columns of Unix times as `2025-01-31T12:00:00.123Z`, everything else as it is.

    A time's column is known by its name (`…_ms`, `…_us`, `log_timestamp`) and by values that are times: a length of time
    of some plugin, as `latency_ms`, stays a number.
    """
    found = [list(row) for row in rows]
    for i, header in enumerate(headers):
        unit = _US if header.endswith("_us") or header == "log_timestamp" else _MS if header.endswith("_ms") else 0
        values = [row[i] for row in found if row[i] is not None]
        if unit and values and all(isinstance(v, int) and _FIRST_S * unit <= v < _LAST_S * unit for v in values):
            for row in found:
                row[i] = None if row[i] is None else _iso(row[i], unit)
    return found


def _iso(value: int, unit: int) -> str:
    seconds, rest = divmod(value, unit)
    digits = len(str(unit)) - 1
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:0{digits}d}Z"


def print_findings(found: Sequence[Finding], as_json: bool) -> None:
    """Print what was looked at, and for what is wrong the command that repairs it."""
    if as_json:
        print_json([asdict(finding) for finding in found])
        return
    for finding in found:
        verdict = "ok   " if finding.ok and finding.checked else "-    " if finding.ok else "WRONG"
        click.echo(f"{verdict}  {finding.name}: {finding.detail}")
        if not finding.ok:
            click.echo(f"       → {finding.repair}")


def print_json(value: Any) -> None:
    """Print one JSON value on one line."""
    click.echo(json.dumps(value, default=str, ensure_ascii=False))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return " ".join(str(value).split()) if isinstance(value, str) else str(value)
