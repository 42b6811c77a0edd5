"""Exact sums of doubles in SQL: the same total whatever the order of rows, and whichever threads add them up.

Two ways to the same number. The usual one multiplies by 2**80 and adds whole numbers of 128 bits: exact for amounts from
2**-28 (3.7e-9) on, and sums below 2**47 (1.4e14). Where an amount is smaller or a sum larger, the query is asked again
the other way: each amount cut into three whole numbers, worth 2**20, 2**-40 and 2**-100, as `k2core.query.exact` has it.
A sum is told as doubles whose exact sum it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

NAMES = ("volume", "notional")
_LEAST = 2.0**-28
_HALF = 32


class UnusualError(Exception):
    """Amounts that the usual way cannot add up exactly."""


@dataclass(frozen=True, slots=True)
class Sums:
    """How a statement adds up quantity and price x quantity.

    Args:
        cut: A statement with columns price and quantity, prepared for `cells`.
        cells: Aggregates: whole numbers `{name}_{n}`, n counting `powers`.
        powers: What the whole numbers are worth, as powers of two.
    """

    cut: Callable[[str], str]
    cells: str
    powers: tuple[int, ...]

    def told(self, found: pa.Table) -> pa.Table:
        """An answer with the sums as doubles, and as the parts that they consist of.

        Raises:
            UnusualError: The sums may not be exact.
        """
        if "least_quantity" in found.column_names and found.num_rows:
            least, low = (found.column(n).to_numpy() for n in ("least_quantity", "low"))
            if not (least.min() >= _LEAST and (low * least).min() > _LEAST):
                raise UnusualError
        for name in NAMES:
            wholes = [_parts(found.column(f"{name}_{n}"), power) for n, power in enumerate(self.powers)]
            parts = np.concatenate(wholes, axis=1)
            found = found.append_column(name, pa.array(parts.sum(axis=1)))
            found = found.append_column(f"{name}_parts", _listed(parts))
        return found


def _parts(wholes: Any, power: int) -> npt.NDArray[np.float64]:
    """Whole numbers of 128 bits, worth 2**power, as doubles whose exact sum each is: float64[n, 4]."""
    column: Any = wholes.cast(pa.decimal128(38, 0)).combine_chunks()
    column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    words = np.frombuffer(column.buffers()[1], "<i8")[2 * column.offset :][: 2 * len(column)].reshape(-1, 2)
    low, high = words[:, 0].view(np.uint64), words[:, 1]
    mask = (1 << _HALF) - 1
    digits = (low & np.uint64(mask), low >> np.uint64(_HALF), high & mask, high >> _HALF)
    return np.stack([d * 2.0 ** (power + at * _HALF) for at, d in enumerate(digits)], axis=1)


def _listed(parts: npt.NDArray[np.float64]) -> Any:
    ends: Any = pa.array(np.arange(len(parts) + 1, dtype=np.int32) * parts.shape[1])
    return pa.ListArray.from_arrays(ends, pa.array(parts.ravel()))


def _usual() -> Sums:
    amounts = zip(NAMES, ("quantity", "price * quantity"), strict=True)
    sums = [f"sum(({amount} * {2.0**80!r})::HUGEINT) AS {name}_0" for name, amount in amounts]
    return Sums(lambda rows: rows, ", ".join(["min(quantity) AS least_quantity", *sums]), (-80,))


def _any() -> Sums:
    def cut(rows: str) -> str:
        steps = (
            "quantity AS volume, price * quantity AS notional",
            ", ".join(f"least(abs({n}), {2.0**82!r}) AS {n}_size" for n in NAMES),
            ", ".join(f"floor({n}_size * {2.0**-20!r}) AS {n}_2" for n in NAMES),
            ", ".join(f"({n}_size - {n}_2 * {2.0**20!r}) * {2.0**40!r} AS {n}_rest" for n in NAMES),
            ", ".join(f"floor({n}_rest) AS {n}_1" for n in NAMES),
            ", ".join(f"floor(({n}_rest - {n}_1) * {2.0**60!r}) AS {n}_0" for n in NAMES),
        )
        for step in steps:
            rows = f"SELECT *, {step} FROM ({rows})"  # noqa: S608
        return rows

    sign = "CASE WHEN {} < 0 THEN -1 ELSE 1 END"
    cells = [f"sum({n}_{at}::BIGINT * ({sign.format(n)})) AS {n}_{at}" for n in NAMES for at in range(3)]
    return Sums(cut, ", ".join(cells), (-100, -40, 20))


USUAL, ANY = _usual(), _any()
