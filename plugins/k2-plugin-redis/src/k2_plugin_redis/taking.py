"""Taking a partition over: at a start, from what Redis and the table say; after an outage, from what the owner knows.

What Redis holds is kept where none of it lies beyond the table's offset: it was settled after commits that landed, so it
is right, and a mark makes good what it lacks. Otherwise (a table rolled back, a flush, keys dropped) it is cleared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from k2_plugin_redis.link import MEANING, AwayError
from k2_plugin_redis.meta import Meta, raise_to
from k2_plugin_redis.owned import Owned
from k2core.plugin import Partition, StoredIdentities

ATTEMPTS = 3
SLACK_US = 60_000_000
"""Append times may step back by that much; what steps back further is caught by a mark."""


def take_over(owned: Owned, partition: Partition, table: StoredIdentities, since_us: int) -> None:
    """Own a partition at the table's offset.

    Args:
        owned: Knows nothing yet.
        partition: Which.
        table: Asked only for what Redis lacks.
        since_us: Where Redis lacks all, rows appended from here on are loaded.

    Raises:
        AwayError: Redis cannot be relied on.
        K2Error: The table cannot be read.
    """

    def attempt(seen: Meta | None) -> None:
        owned.start_anew()
        keep = seen is not None and seen.reach <= owned.offset and bool(seen.shape or not seen.marks)
        if seen is None or not keep:
            _load(owned, partition, table, since_us, 0)
            owned.remote.take(seen, owned.offset, owned.tops, owned.shape, keep=False)
            return
        if seen.offset == owned.offset:
            missing = {}
        else:
            _load(owned, partition, table, max(since_us, seen.stamp_us - SLACK_US), seen.offset)
            missing = dict(owned.tops)
        owned.remote.take(seen, owned.offset, missing, owned.shape, keep=True)
        owned.raise_marks(seen.marks)
        raise_to(owned.tops, seen.highest())

    _try(owned, attempt)


def resume(owned: Owned) -> None:
    """Own a partition again; Redis's marks rise to all that was settled meanwhile.

    Raises:
        AwayError: Redis cannot be relied on; or another owner has settled more there, and this one woke too late: what that
            one holds stays.
    """

    def attempt(seen: Meta | None) -> None:
        mine = seen is not None and seen.token == owned.remote.meta.token and seen.reach <= owned.offset
        if seen is not None and seen.token != owned.remote.meta.token and seen.offset > owned.offset:
            raise AwayError("taken", MEANING["taken"])
        owned.remote.take(seen, owned.offset, owned.tops, owned.shape, keep=mine)

    _try(owned, attempt)


def _try(owned: Owned, attempt: Callable[[Meta | None], None]) -> None:
    for left in reversed(range(ATTEMPTS)):
        seen = owned.remote.peek()
        try:
            attempt(seen)
        except AwayError as error:
            if error.reason == "lost" and seen is not None:  # keys of it are missing: as if nothing were there
                attempt(replace(seen, reach=owned.offset + 1))
            elif error.reason != "changed" or not left:
                raise
            else:
                continue
        owned.attached = True
        return


def _load(owned: Owned, partition: Partition, table: StoredIdentities, since_us: int, from_offset: int) -> None:
    owned.raise_marks(dict(table.marks(partition, since_us)))
    for batch in table.load(partition, since_us):
        owned.load(batch.where(batch.offsets >= from_offset))
