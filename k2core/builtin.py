"""What core itself offers, through the same hooks as anyone's plugin: the embedded log and the data types."""

from __future__ import annotations

from collections.abc import Iterable

from k2core.hookspecs import hookimpl
from k2core.records.builtin import BUILTIN_DATA_TYPES
from k2core.records.data_type import DataType


@hookimpl
def k2_data_types() -> Iterable[DataType]:
    """Trades, quotes, dead letters."""
    return BUILTIN_DATA_TYPES
