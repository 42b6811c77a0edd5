"""Names of topics, and the partition of a symbol: equal to Iceberg's `bucket(16, symbol)`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

PARTITIONS = 16
_PART = re.compile(r"[a-z0-9][a-z0-9-]*(\.[a-z0-9-]+)*")


@dataclass(frozen=True, slots=True, order=True)
class Topic:
    """`market.{asset_class}.{data_type}.{exchange}`, taken apart.

    Args:
        asset_class: `crypto`, `equities`, `fx` …
        data_type: Name of a `DataType`, as `trades`.
        exchange: One market, lower case.
    """

    asset_class: str
    data_type: str
    exchange: str

    @property
    def name(self) -> str:
        """The topic's full name."""
        return f"market.{self.asset_class}.{self.data_type}.{self.exchange}"

    @classmethod
    def parse(cls, name: str) -> Topic:
        """Take a topic's name apart.

        Raises:
            ValueError: It is not of the form `market.{asset_class}.{data_type}.{exchange}`.
        """
        parts = name.split(".", 3)
        if len(parts) != 4 or parts[0] != "market" or not all(parts):
            raise ValueError(f"topic {name!r} is not of the form market.ASSET_CLASS.DATA_TYPE.EXCHANGE")
        return cls(*parts[1:])


@lru_cache(maxsize=65_536)
def partition_of(symbol: str, partitions: int = PARTITIONS) -> int:
    """The partition a symbol's records lie on: `(murmur3_32(symbol) & 0x7fffffff) % partitions`.

    Source: Iceberg table spec, appendix B, bucket transform on UTF-8 strings.
    """
    import mmh3

    return (mmh3.hash(symbol) & 0x7FFFFFFF) % partitions
