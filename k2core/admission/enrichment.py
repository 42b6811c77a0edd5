"""`Enrichment`: runs a data type's enrichers over admitted rows, in the writer and in every tail alike.

Survives an enricher that raises or returns columns of a wrong length or type (the batch is halved until the rows at
fault stand alone: they get nulls, and the same rows do however the log was cut), and one that returns other columns
than it declared (all of its values are null). Either is counted and named; no row is lost, and no neighbour's value.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from k2core.interfaces.enricher import Enricher
from k2core.records.arrow import arrow_schema
from k2core.telemetry.metrics import Metrics

FAILURES = "k2_enricher_failures_total"
TOLD = 20
"""Distinct errors of one enricher that are told in the log; all rows are counted."""


class WrongColumnError(TypeError):
    """A column of an enricher has another length or type than it should; that may be the doing of single rows."""


class UndeclaredError(TypeError):
    """An enricher returned other columns than it declared; that is so for all rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An enricher and who it is.

    Args:
        name: Its section's name, as `notional`.
        provenance: Who offers it, for messages.
        enricher: None where it is switched off: its columns stay, and are null from here on.
    """

    name: str
    provenance: str
    columns: pa.Schema
    enricher: Enricher | None

    @classmethod
    def of(cls, name: str, provenance: str, enricher: Enricher, *, active: bool = True) -> Running:
        """An enricher with what it declares."""
        return cls(
            name=name,
            provenance=provenance,
            columns=arrow_schema(enricher.columns),
            enricher=enricher if active else None,
        )


class Enrichment:
    """All enrichers of one data type, in the order of its added columns. Any number of threads.

    Args:
        running: The enrichers.
        metrics: Where failures are counted.
        logger: Where they are told.
    """

    def __init__(
        self, running: tuple[Running, ...] = (), metrics: Metrics | None = None, logger: logging.Logger | None = None
    ) -> None:
        self._running = running
        self._metrics, self._logger = metrics or Metrics(), logger or logging.getLogger("k2.enricher")
        self._told: dict[str, set[str]] = {}

    def columns(self, rows: pa.RecordBatch) -> list[Any]:
        """The added columns of some rows, an Arrow array (plain or chunked) each."""
        return [array for one in self._running for array in self._of(one, rows)]

    def _of(self, one: Running, rows: pa.RecordBatch) -> list[Any]:
        if one.enricher is None or not rows.num_rows:
            return [pa.nulls(rows.num_rows, field.type) for field in one.columns]
        pieces = list(self._pieces(one, one.enricher, rows))
        if len(pieces) == 1:
            return pieces[0]
        return [pa.chunked_array([p[k] for p in pieces], f.type) for k, f in enumerate(one.columns)]

    def _pieces(self, one: Running, enricher: Enricher, rows: pa.RecordBatch) -> Iterator[list[Any]]:
        try:
            yield _checked(enricher.enrich(rows), one.columns, rows.num_rows)
        except Exception as error:  # noqa: BLE001 - counted and told by `_failed`
            n = rows.num_rows
            if n == 1 or isinstance(error, UndeclaredError):
                self._failed(one, error, n)
                yield [pa.nulls(n, field.type) for field in one.columns]
                return
            yield from self._pieces(one, enricher, rows.slice(0, n // 2))
            yield from self._pieces(one, enricher, rows.slice(n // 2))

    def _failed(self, one: Running, error: Exception, rows: int) -> None:
        self._metrics.add(FAILURES, rows, enricher=one.name, reason=type(error).__name__)
        text, told = f"{type(error).__name__}: {error}"[:500], self._told.setdefault(one.name, set())
        if text not in told and len(told) < TOLD:
            told.add(text)
            self._logger.error(
                "enricher %s (%s) failed: %s; its columns are null in these rows, which are stored all the same",
                one.name, one.provenance, text, exc_info=error,
            )  # fmt: skip


def _checked(found: object, wanted: pa.Schema, n: int) -> list[Any]:
    """What an enricher returned, in the declared types.

    Raises:
        UndeclaredError: It is not what was declared.
        WrongColumnError: A column has another length or type.
    """
    if not isinstance(found, Mapping):
        raise UndeclaredError(f"it returned {type(found).__name__}, not a mapping of column names to Arrow arrays")
    if set(found) != set(wanted.names):
        raise UndeclaredError(f"it returned the columns {sorted(map(str, found))}, not {sorted(wanted.names)}")
    return [_fitted(found[field.name], field, n) for field in wanted]


def _fitted(array: Any, field: Any, n: int) -> Any:
    if not isinstance(array, pa.Array | pa.ChunkedArray):
        raise WrongColumnError(f"column {field.name} is {type(array).__name__}, not an Arrow array")
    if len(array) != n:
        raise WrongColumnError(f"column {field.name} has {len(array)} values for {n} rows")
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if array.type != field.type:
        array = _cast(array, field)
    if pa.types.is_float64(field.type):
        array = pc.if_else(pc.fill_null(pc.is_finite(array), False), array, pa.scalar(None, field.type))
    return array


def _cast(array: Any, field: Any) -> Any:
    """Nulls, and words in any of their forms; other types are not what was declared."""
    plain = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    have = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    if have != plain and not pa.types.is_null(have):
        raise WrongColumnError(f"column {field.name} is {array.type}, not {plain}")
    array = array.cast(plain)
    return array.dictionary_encode() if pa.types.is_dictionary(field.type) else array
