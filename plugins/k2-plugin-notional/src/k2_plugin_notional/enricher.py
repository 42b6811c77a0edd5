"""`Notional`: price × quantity, and the currency that it is in.

Not exact: the product of two doubles, rounded once. Price and quantity each stand for their printed decimal; the product
is within 3.4e-16 of the true one, relative (three roundings of half a unit in the last place): right to 15 digits, and
not to the cent for values above about 10¹³. Sum it for volumes and weights; do not settle money with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from k2_plugin_notional.currency import quote_of
from k2_plugin_notional.settings import NotionalSettings
from k2core.plugin import Column, Enricher


class Notional(Enricher):
    """Adds `notional` and `quote_currency`. Keeps nothing; any number of threads."""

    def __init__(self, settings: NotionalSettings) -> None:
        self.data_type = settings.data_type
        self.columns = (
            Column(settings.column, "double", True, doc="price × quantity, in the quote currency, not exact"),
            Column(settings.currency_column, "string", True, doc="what prices of the symbol are in", words=True),
        )
        self._settings = settings

    def enrich(self, rows: pa.RecordBatch) -> Mapping[str, Any]:
        """Both columns; the currency is worked out once for each symbol of each exchange in the batch."""
        value, currency = (column.name for column in self.columns)
        return {value: pc.multiply(rows["price"], rows["quantity"]), currency: self._currencies(rows)}

    def _currencies(self, rows: pa.RecordBatch) -> Any:
        symbols, exchanges = _words(rows["symbol"]), _words(rows["exchange"])
        names, markets = symbols.dictionary.to_pylist(), exchanges.dictionary.to_pylist()
        pairs = [self._currency(symbol, market) for market in markets for symbol in names]
        wide = pa.scalar(len(names), pa.int64())
        at = pc.add(pc.multiply(exchanges.indices.cast(pa.int64()), wide), symbols.indices.cast(pa.int64()))
        return pa.array(pairs, pa.string()).take(at)

    def _currency(self, symbol: str, exchange: str) -> str | None:
        settings = self._settings
        if symbol in settings.symbols:
            return settings.symbols[symbol]
        return (
            quote_of(symbol, settings.currencies)
            if exchange not in settings.exchanges
            else settings.exchanges[exchange]
        )


def _words(column: Any) -> Any:
    return column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
