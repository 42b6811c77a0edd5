"""`Freshness`: how long records take from the socket to the tail, over the newest ten thousand."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2core.clock import Clock

KEPT = 10_000


class Freshness:
    """Collects receive-to-visible times. Written by one thread, read by any."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._times: deque[npt.NDArray[np.int64]] = deque()
        self._kept = 0

    def seen(self, rows: pa.Table) -> npt.NDArray[np.float64]:
        """Rows became visible just now; gives the seconds that each took, of those that say when they were received."""
        if "received_timestamp_us" not in rows.schema.names or not rows.num_rows:
            return np.empty(0)
        received = rows.column("received_timestamp_us").drop_null().to_numpy()
        if not len(received):
            return np.empty(0)
        self._times.append(self._clock.now_us() - received)
        self._kept += len(received)
        while self._kept > KEPT and len(self._times) > 1:
            self._kept -= len(self._times.popleft())
        found: npt.NDArray[np.float64] = self._times[-1] / 1e6
        return found

    def percentiles(self) -> Mapping[str, float]:
        """`p50_ms` and `p99_ms`; empty before the first record."""
        times = list(self._times)
        if not times:
            return {}
        p50, p99 = np.percentile(np.concatenate(times), (50, 99)) / 1000
        return {"p50_ms": round(float(p50), 3), "p99_ms": round(float(p99), 3)}
