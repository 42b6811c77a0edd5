"""`Outage`: which partitions do without Redis, as one log line at the start and the end, a gauge and a counter."""

from __future__ import annotations

from collections import Counter

from k2_plugin_redis.link import AwayError
from k2core.plugin import Context, Partition, Topic


class Outage:
    """One store's.

    Args:
        context: Logger and metrics.
    """

    def __init__(self, context: Context) -> None:
        self._logger, self._metrics = context.logger, context.metrics
        self._without: set[Partition] = set()

    def begins(self, partition: Partition, error: AwayError) -> None:
        """A partition does without Redis."""
        if partition in self._without:
            return
        if not self._without:
            self._logger.warning("dedup goes on without redis data_type=%s error=%s", _data_type(partition), error)
        self._without.add(partition)
        self._metrics.add("k2_dedup_degradations_total", data_type=_data_type(partition), reason=error.reason)
        self._show()

    def ends(self, partition: Partition) -> None:
        """It is back, or not ours any more."""
        if partition in self._without:
            self._without.remove(partition)
            self._show(_data_type(partition))
            if not self._without:
                self._logger.info("dedup has redis again data_type=%s", _data_type(partition))

    def _show(self, *also: str) -> None:
        found = Counter(_data_type(partition) for partition in self._without)
        for data_type in {*found, *also}:
            self._metrics.set("k2_dedup_degraded", found[data_type], data_type=data_type)


def _data_type(partition: Partition) -> str:
    return Topic.parse(partition[0]).data_type
