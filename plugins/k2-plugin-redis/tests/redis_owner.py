"""A process with one store: does what a line on its input says, answers with a line; frozen and woken by its parent.

Its table is its parent's: each line that needs one brings along what is stored.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import numpy as np
from k2_plugin_redis.settings import RedisSettings
from k2_plugin_redis.store import RedisStore

from k2core.plugin import Context, DedupError, IdentityBatch, Metrics, Partition, SystemClock
from k2core.testing.conformance.dedup_world import PLACE, KnownTable, identities


class Owner:
    """One store.

    Args:
        url: Of the Redis.
    """

    def __init__(self, url: str) -> None:
        self.context = Context(
            clock=SystemClock(), logger=logging.getLogger("k2.owner"), metrics=Metrics(), instance="sink"
        )
        made = RedisSettings(url=url, timeout_ms=5000, retry_s=0.01, retry_longest_s=0.02)  # type: ignore[arg-type]
        self.store, self.table = RedisStore(made, self.context), KnownTable()

    def do(self, said: dict[str, Any]) -> Any:
        place: Partition = (PLACE[0], said["partition"])
        if "stored" in said:
            self.table.stored = [_batch(place, *part) for part in said["stored"]]
        match said["act"]:
            case "assign":
                self.store.assign(place, said["offset"], self.table)
            case "claim":
                return self.store.claim(_batch(place, said["offset"], said["ids"])).tolist()
            case "settle":
                self.store.settle(place, said["first"], said["next"])
            case "revoke":
                self.store.revoke(place)
            case "evict":
                self.store.evict(SystemClock().now_us())
            case "degraded":
                return self.context.metrics.value("k2_dedup_degraded", data_type="trades")
        return True


def _batch(place: Partition, offset: int, ids: list[int]) -> IdentityBatch:
    now = SystemClock().now_us()
    texts = [f"id-{i}" for i in ids]
    return identities(texts, offset, kind="opaque", place=place, at_us=now, order_ms=np.array(ids).tolist())


def main() -> None:
    owner = Owner(sys.argv[1])
    for line in sys.stdin:
        try:
            answer = {"answer": owner.do(json.loads(line))}
        except DedupError as error:
            answer = {"refused": str(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
