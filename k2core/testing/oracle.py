"""`compare`: what was issued against what is stored, field by field. Independent of how either came about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class OracleReport:
    """The verdict; keys are the values of the identity columns.

    Args:
        issued: Distinct records issued.
        stored: Rows stored.
        missing: Issued but not stored.
        unexpected: Stored but never issued.
        duplicates: Stored more than once.
        differing: Stored with other values: key, then column → (issued, stored).
    """

    issued: int
    stored: int
    missing: list[Key] = field(default_factory=list)
    unexpected: list[Key] = field(default_factory=list)
    duplicates: list[Key] = field(default_factory=list)
    differing: list[tuple[Key, dict[str, tuple[Any, Any]]]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the table is exactly what was issued."""
        return not (self.missing or self.unexpected or self.duplicates or self.differing)

    def __str__(self) -> str:
        if self.ok:
            return f"{self.stored} rows, each issued once and stored once"
        parts = [f"issued {self.issued}, stored {self.stored}"]
        for name in ("missing", "unexpected", "duplicates", "differing"):
            if found := getattr(self, name):
                parts.append(f"{len(found)} {name}, as {found[:3]}")
        return "; ".join(parts)


def compare(
    issued: Iterable[Mapping[str, Any]],
    stored: pa.Table,
    columns: Sequence[str],
    identity: Sequence[str] | None = None,
) -> OracleReport:
    """Compare records with rows.

    Args:
        issued: Distinct records, as columns by name; a column that is absent counts as null.
        stored: The table's rows.
        columns: What is compared.
        identity: Columns that name one event; by default exchange, symbol and the first of `trade_id`, `update_id`
            that `columns` holds.

    Raises:
        ValueError: There is no identity, a column is not in the table, or two issued records have one identity.
    """
    keys = tuple(identity) if identity is not None else _identity(columns)
    names = list(dict.fromkeys([*keys, *columns]))
    if absent := set(names) - set(stored.column_names):
        raise ValueError(f"the stored table has no columns {sorted(absent)}")
    want: dict[Key, Mapping[str, Any]] = {}
    for record in issued:
        key = tuple(record.get(k) for k in keys)
        if key in want:
            raise ValueError(f"{dict(zip(keys, key, strict=True))} was issued twice: give each record once")
        want[key] = record
    return _verdict(want, stored.select(names).to_pylist(), keys, columns)


def _verdict(
    want: dict[Key, Mapping[str, Any]], rows: list[dict[str, Any]], keys: tuple[str, ...], columns: Sequence[str]
) -> OracleReport:
    seen: Counter[Key] = Counter()
    report = OracleReport(len(want), len(rows))
    for row in rows:
        key = tuple(row[k] for k in keys)
        seen[key] += 1
        if key not in want:
            report.unexpected.append(key)
            continue
        other = {c: (want[key].get(c), row[c]) for c in columns if not _same(want[key].get(c), row[c])}
        if other:
            report.differing.append((key, other))
    report.missing.extend(k for k in want if k not in seen)
    report.duplicates.extend(k for k, n in seen.items() if n > 1)
    return report


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and (a == b or (a != a and b != b))


def _identity(columns: Sequence[str]) -> tuple[str, ...]:
    for own in ("trade_id", "update_id"):
        if own in columns:
            return ("exchange", "symbol", own)
    raise ValueError("say which columns are the identity: there is neither trade_id nor update_id")
