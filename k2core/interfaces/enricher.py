"""`Enricher`: further columns of rows, worked out after the log."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from k2core.records.data_type import Column


class Enricher(ABC):
    """Adds columns to the rows of one data type. Called in the writer and in every tail, by any number of threads.

    It is a pure function of each row: what a row gets depends on that row alone, not on its neighbours, on the time or
    on calls before. The writer and the tail cut the log into batches differently, and only so does a row that is seen
    hot equal the row that is later stored. It may not block: it runs between the log and the table.

    Attributes:
        data_type: Name of the data type whose rows it enriches, as `trades`.
        columns: What it adds: nullable `string`, `long` or `double` columns that no one else has. `since` means nothing
            here: the table gets a column when it is first opened with the enricher.
    """

    data_type: str
    columns: tuple[Column, ...]

    @abstractmethod
    def enrich(self, rows: pa.RecordBatch) -> Mapping[str, Any]:
        """Work the columns out.

        Args:
            rows: n checked rows: the record's columns, then `exchange_date`, `id_epoch`, `topic`, `log_partition`,
                `log_offset`, `log_timestamp`. `words` columns are `dictionary<int32, string>`. No columns of other
                enrichers. Read only.

        Returns:
            For each name in `columns` an Arrow array of n values of its kind (`words`: plain or dictionary-encoded
            strings), with nulls where there is nothing to say. NaN and infinities are stored as null.

        An error costs the rows at fault their values, never the rows: they are stored with nulls, and counted in
        `k2_enricher_failures_total`.
        """
