"""`Measures`: what a capture counts and times, a batch at a time. Delays are taken of at most 64 frames a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from k2core.clock import Clock
from k2core.interfaces.frames import FrameBatch
from k2core.telemetry.metrics import Metrics

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from k2core.ingest.digest import Digested

SAMPLES = 64


def delays_of(records: pa.RecordBatch) -> npt.NDArray[Any] | None:
    """Seconds from event time to receipt, of some of the records; None where they have no receive time."""
    if not {"exchange_timestamp_ms", "received_timestamp_us"} <= set(records.schema.names):
        return None
    import numpy as np

    step = max(1, records.num_rows // SAMPLES)
    received = records["received_timestamp_us"].to_numpy(zero_copy_only=False)[::step].astype(np.float64)
    happened = records["exchange_timestamp_ms"].to_numpy(zero_copy_only=False)[::step].astype(np.float64)
    found: npt.NDArray[Any] = (received / 1e6 - happened / 1e3)[~np.isnan(received)]
    return found


class Measures:
    """Of one exchange.

    Args:
        metrics: Where it is told.
        exchange: The market.
        clock: The time.
    """

    def __init__(self, metrics: Metrics, exchange: str, clock: Clock) -> None:
        self._metrics, self._exchange, self._clock = metrics, exchange, clock

    def stored(self, batches: Sequence[FrameBatch], digested: Digested) -> None:
        """Frames are in the log now, and what they gave."""
        import numpy as np

        metrics, exchange, now_ns = self._metrics, self._exchange, self._clock.now_ns()
        for batch in batches:
            times = batch.received_ns[:: max(1, len(batch) // SAMPLES)]
            waited = (now_ns - np.fromiter(times, np.int64, len(times))) / 1e9
            metrics.observe_each("k2_ingest_append_delay_seconds", waited, exchange=exchange)
            metrics.add("k2_ingest_frame_bytes_total", sum(map(len, batch.frames)), exchange=exchange)
        metrics.observe("k2_ingest_batch_frames", sum(map(len, batches)), exchange=exchange)
        self._recorded(digested, now_ns / 1e9)
        for reason, count in Counter(dead.reason for dead in digested.dead).items():
            metrics.add("k2_ingest_dead_letters_total", count, exchange=exchange, reason=reason)
        if digested.failures:
            metrics.add("k2_ingest_normalizer_failures_total", exchange=exchange)

    def _recorded(self, digested: Digested, now_s: float) -> None:
        metrics, exchange = self._metrics, self._exchange
        size = sum(len(part.data) for parts in digested.parts.values() for part in parts)
        metrics.add("k2_ingest_record_bytes_total", size, exchange=exchange)
        for name in digested.records:
            metrics.set("k2_ingest_last_record_timestamp_seconds", now_s, exchange=exchange, data_type=name)
        for name, each in digested.delays.items():
            for delays in each:
                metrics.observe_each("k2_ingest_exchange_delay_seconds", delays, exchange=exchange, data_type=name)

    def timed(self, name: str, seconds: float) -> None:
        """A step took so long."""
        self._metrics.observe(name, max(0.0, seconds), exchange=self._exchange)
