"""`RedisStore`: a window of committed identities in Redis, shared by all writers; exact whether Redis is there or not.

Faults survived: Redis killed, frozen, slow, full, flushed, failed over to a replica that lags, restored from an old
dump, dropping keys of its own accord, taken by another writer, connected again later; the table away at the same time
(then nothing is claimed, and the next try is answered in full).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from k2_plugin_redis.checks import findings, require
from k2_plugin_redis.link import AwayError, Breaker, Link
from k2_plugin_redis.outage import Outage
from k2_plugin_redis.owned import Owned
from k2_plugin_redis.remote import Asked, Remote
from k2_plugin_redis.settings import RedisSettings
from k2_plugin_redis.taking import resume, take_over
from k2core.plugin import (
    Context,
    DedupAwayError,
    DedupError,
    DedupStore,
    Finding,
    IdentityBatch,
    K2Error,
    Partition,
    StoredIdentities,
)

Mask = npt.NDArray[np.bool_]
T = TypeVar("T")
SLOTS = 4
"""Redis forgets in steps of a quarter of the window, memory in steps of a 24th: a claim looks into every slot."""
LOCAL_SLOTS = 24


class RedisStore(DedupStore):
    """Dedup for one data type and one writer.

    Args:
        settings: Of `[dedup]`.
        context: Clock, logger and metrics; its instance names the tables, so that two sinks share no keys.
    """

    def __init__(self, settings: RedisSettings, context: Context) -> None:
        self._settings, self._clock = settings, context.clock
        self._window = int(settings.window_hours * 3_600_000_000)
        self._span, self._local_span = max(1, self._window // SLOTS), max(1, self._window // LOCAL_SLOTS)
        self._name = ":".join(part for part in (settings.prefix, context.instance) if part)
        self._link = Link(settings, context.clock)
        self._outage = Outage(context)
        self._owned: dict[Partition, Owned] = {}
        self._tables: dict[Partition, StoredIdentities] = {}
        self._retry: dict[Partition, Breaker] = {}

    @property
    def entries(self) -> int:
        """Entries held in memory, of 8 to 16 bytes each."""
        return sum(owned.entries for owned in self._owned.values())

    def check(self) -> None:
        """Refuse to begin without Redis where `on_failure` is `stop`."""
        require(self._settings, self._clock)

    def findings(self) -> Iterable[Finding]:
        """What `k2 doctor` should know of this Redis."""
        return findings(self._settings, self._clock)

    def assign(self, partition: Partition, offset: int, table: StoredIdentities) -> None:
        """Own a partition: with what Redis holds where that fits the table's offset, else from the table."""
        self.revoke(partition)
        remote = Remote(
            self._link, f"{self._name}:{{{_name(partition)}}}", self._span, self._settings.chunk_ids
        )  # fmt: skip
        owned = Owned(remote, offset, self._local_span)
        retry = Breaker(self._settings, self._clock)
        self._build(partition, owned, table, retry)
        self._owned[partition], self._tables[partition], self._retry[partition] = owned, table, retry

    def _build(self, partition: Partition, owned: Owned, table: StoredIdentities, retry: Breaker) -> None:
        since = self._clock.now_us() - int(self._settings.rebuild_minutes * 60_000_000)
        try:
            self._link.check_policy()
            take_over(owned, partition, table, since)
        except AwayError as error:
            retry.failed()
            self._outage.begins(partition, error)
            self._refuse_if_stopped(partition, error)
            owned.start_anew()
            owned.raise_marks(dict(table.marks(partition, since)))
            for batch in table.load(partition, since):
                owned.load(batch)
        else:
            self._outage.ends(partition)

    def revoke(self, partition: Partition) -> None:
        """Drop all that is known here of a partition; Redis keeps what is settled."""
        self._outage.ends(partition)
        for known in (self._owned, self._tables, self._retry):
            known.pop(partition, None)

    def claim(self, batch: IdentityBatch) -> npt.NDArray[np.bool_]:
        """Which records are new (bool[n])."""
        partition = batch.partition
        owned, table = self._of(partition), self._tables[partition]
        if not len(batch):
            return np.zeros(0, bool)
        if self._settings.on_failure == "stop" and not owned.attached:
            self._resume(partition, owned)
            self._refuse_if_stopped(partition, None if owned.attached else AwayError("away", "it was away just now"))

        def ask(asked: list[Asked]) -> list[Mask]:
            try:
                return owned.remote.ask(asked)
            except AwayError as error:
                self._lost(partition, owned, error)
                self._refuse_if_stopped(partition, error)
                return [np.zeros(len(keys), bool) for _, keys in asked]

        if owned.reshaped(batch):
            _told(partition, lambda: self._reshape(partition, owned, table))
        return _told(partition, lambda: owned.claim(batch, ask, table.contains))

    def _reshape(self, partition: Partition, owned: Owned, table: StoredIdentities) -> None:
        """Ids are declared otherwise than when Redis learned them: from the table, as if nothing were there."""
        owned.detach()
        owned.start_anew()
        owned.remote.meta.shape = ""
        self._build(partition, owned, table, self._retry[partition])

    def settle(self, partition: Partition, first_offset: int, next_offset: int) -> None:
        """What was claimed at these offsets is stored."""
        owned = self._of(partition)
        if owned.offset < first_offset:
            where = f"{_name(partition)}: cannot settle from offset {first_offset}"
            raise DedupError(f"{where}: settled only up to {owned.offset}")
        claims = owned.landed(next_offset)
        if next_offset <= owned.offset and not claims:
            return
        if not owned.attached:
            self._resume(partition, owned)
        if owned.attached:
            try:
                owned.remote.settle(claims, owned.shape, next_offset)
            except AwayError as error:
                self._lost(partition, owned, error)
                if error.reason == "taken":
                    raise DedupError(f"{_name(partition)}: {error}") from error
        if not owned.attached:
            self._refuse_if_stopped(partition, AwayError("away", "it was away just now"))
        owned.settled(claims, next_offset)

    def abandon(self, partition: Partition, first_offset: int) -> None:
        """What was claimed from this offset on is not stored."""
        if partition in self._owned:
            self._owned[partition].abandon(first_offset)

    def evict(self, now_us: int) -> None:
        """Forget what left the window, and the oldest in memory where more is held than `max_ids`."""
        for partition, owned in self._owned.items():
            owned.forget((now_us - self._window) // self._local_span)
            if not owned.attached:  # one without records would otherwise never come back
                self._resume(partition, owned)
            try:
                owned.evict((now_us - self._window) // self._span)
            except AwayError as error:
                self._lost(partition, owned, error)
        while self.entries > self._settings.max_ids:
            oldest = min(slot for owned in self._owned.values() if (slot := owned.oldest) is not None)
            for owned in self._owned.values():
                owned.forget(oldest + 1)

    def close(self) -> None:
        """Close the connection."""
        for partition in list(self._owned):
            self.revoke(partition)
        self._link.close()

    def _lost(self, partition: Partition, owned: Owned, error: AwayError) -> None:
        owned.detach()
        self._retry[partition].failed()
        self._outage.begins(partition, error)

    def _resume(self, partition: Partition, owned: Owned) -> None:
        if not (self._retry[partition].closed and self._link.breaker.closed):
            return
        try:
            self._link.check_policy()
            resume(owned)
        except AwayError as error:
            self._retry[partition].failed()
            self._outage.begins(partition, error)
        else:
            self._outage.ends(partition)

    def _refuse_if_stopped(self, partition: Partition, error: AwayError | None) -> None:
        if error is not None and self._settings.on_failure == "stop":
            raise DedupAwayError(
                f'{_name(partition)}: Redis is {error}; [dedup] on_failure = "stop": nothing is claimed until it is back'
            ) from error

    def _of(self, partition: Partition) -> Owned:
        if partition not in self._owned:
            raise DedupError(f"{_name(partition)} was not assigned to this store")
        return self._owned[partition]


def _told(partition: Partition, act: Callable[[], T]) -> T:
    """Errors of the table as a dedup store reports them."""
    try:
        return act()
    except DedupError:
        raise
    except K2Error as error:
        raise DedupError(f"{_name(partition)}: the table cannot be asked for old ids: {error}") from error


def _name(partition: Partition) -> str:
    return f"{partition[0]}/{partition[1]}"
