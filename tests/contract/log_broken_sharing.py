"""Logs that break one MUST of sharing each, and the one test that has to notice."""

from __future__ import annotations

from typing import Any

from k2core.errors import BrokerError
from k2core.interfaces.sharing import Membership
from tests.contract.broken import noticing
from tests.contract.log_model import FileConsumer, FileLog, Wrapped

BROKEN: dict[type[FileLog], str] = {}


noticed_by = noticing(BROKEN)


class Told(Membership):
    """What another membership says, changed."""

    def __init__(self, inner: Membership, change: Any) -> None:
        self._inner, self._change = inner, change

    def partitions(self) -> Any:
        return self._change(self._inner.partitions())

    def close(self) -> None:
        self._inner.close()


@noticed_by("B60")
class KeepsOneBackFromOneAlone(FileLog):
    def join(self, name: str, topics: Any, leaving: Any = None) -> Membership:
        def change(share: Any) -> Any:
            return share if self._joined > 1 else frozenset(sorted(share)[:-1]) if len(share) == 4 and leaving is None else share  # fmt: skip

        return Told(super().join(name, topics, leaving), change)


@noticed_by("B61")
class GivesOneToTwo(FileLog):
    def join(self, name: str, topics: Any, leaving: Any = None) -> Membership:
        inner = super().join(name, topics, leaving)
        if self._joined != 2:
            return inner
        return Told(inner, lambda share: share | {(topics[0], 0)} if len(share) == 2 else share)


@noticed_by("B62")
class TellsNobodyBefore(FileLog):
    def join(self, name: str, topics: Any, leaving: Any = None) -> Membership:
        return super().join(name, topics)


@noticed_by("B63")
class RefusesAnEmptyShare(FileLog):
    def join(self, name: str, topics: Any, leaving: Any = None) -> Membership:
        def change(share: Any) -> Any:
            if self._joined > 4 and not share:
                raise BrokerError("there is nothing left for this one")
            return share

        return Told(super().join(name, topics, leaving), change)


@noticed_by("B64")
class WaitsForTheSilent(FileLog):
    def join(self, name: str, topics: Any, leaving: Any = None) -> Membership:
        made = super().join(name, topics, leaving)
        self._groups[name].session_s = float("inf")
        return made


@noticed_by("B65")
class HasOneGroup(FileLog):
    def join(self, name: str, topics: Any, leaving: Any = None) -> Membership:
        return super().join("all", topics, leaving)


@noticed_by("B66")
class ReadsEverythingAllTheSame(Wrapped):
    class consumes(FileConsumer):  # noqa: N801 - stands for the attribute
        def only(self, partitions: Any) -> None:
            """Passed over."""
