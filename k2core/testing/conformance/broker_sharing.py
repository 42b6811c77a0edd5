"""MUSTs of a log that shares partitions among processes: everything is somebody's, nothing is two's, nobody waits long."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from k2core.interfaces.broker import Broker, Partition
from k2core.interfaces.sharing import Membership
from k2core.testing.clock import ManualClock
from k2core.testing.conformance.broker_world import PARTITIONS, BrokerFacts, numbered
from k2core.testing.conformance.facts import needs

Share = frozenset[Partition]
NOBODY: Share = frozenset()
TURN_S = 0.1


class SharingTests(BrokerFacts):
    """Members of one group, in one process, each asking again and again."""

    @needs("shares")
    def test_B60_one_member_alone_has_everything(self, tmp_path: Path) -> None:
        """Soon after it joined."""
        with self._group(tmp_path) as group:
            (share,) = group.turn_until(lambda shares: shares[0] == group.every, group.join())
            assert share == group.every

    @needs("shares")
    def test_B61_members_share_everything_and_no_two_have_the_same(self, tmp_path: Path) -> None:
        """At no time: who gets a partition gets it after whoever had it was told so."""
        with self._group(tmp_path) as group:
            one = group.join()
            group.turn_until(lambda shares: bool(shares[0]), one)
            first, second = group.turn_until(
                lambda shares: all(shares) and shares[0] | shares[1] == group.every, one, group.join(), disjoint=True
            )
            assert len(first) == len(second)

    @needs("shares")
    def test_B62_who_loses_partitions_is_told_before_and_who_leaves_is_replaced(self, tmp_path: Path) -> None:
        """`leaving` names what goes, once, before the answer that lacks it."""
        told: list[Share] = []
        with self._group(tmp_path) as group:
            one, had = group.join(told.append), NOBODY
            (had,) = group.turn_until(lambda shares: shares[0] == group.every, one)
            two = group.join()
            left, _ = group.turn_until(lambda shares: all(shares), one, two)
            assert frozenset().union(*told) == had - left, f"leaving was called with {told}"
            assert sum(map(len, told)) == len(had - left), "a partition was named twice"
            two.close()
            group.turn_until(lambda shares: shares[0] == group.every, one)

    @needs("shares")
    def test_B63_an_empty_share_is_no_error(self, tmp_path: Path) -> None:
        """More members than partitions."""
        with self._group(tmp_path) as group:
            members = [group.join() for _ in range(PARTITIONS + 2)]
            shares = group.turn_until(
                lambda shares: NOBODY.union(*shares) == group.every and shares.count(NOBODY) >= 2, *members
            )
            assert max(map(len, shares)) <= PARTITIONS

    @needs("shares", "silent_s")
    def test_B64_who_is_silent_loses_its_share_and_hears_of_it(self, tmp_path: Path) -> None:
        """It was frozen: when it asks again it does not have what others have, and becomes one of them again."""
        with self._group(tmp_path) as group:
            one, two = group.join(), group.join()
            group.turn_until(lambda shares: all(shares), one, two)
            for _ in range(4):
                group.clock.advance((self.silent_s or 0) / 2)
                one.partitions()
            group.turn_until(lambda shares: shares[0] == group.every, one)
            assert not two.partitions()
            group.turn_until(lambda shares: all(shares), one, two)

    @needs("shares")
    def test_B65_groups_of_other_names_are_others(self, tmp_path: Path) -> None:
        """What one has, the other may have as well."""
        with self._group(tmp_path) as group:
            group.turn_until(lambda shares: bool(shares[0] & shares[1]), group.join(name="a"), group.join(name="b"))

    @needs("shares")
    def test_B66_a_consumer_reads_what_it_is_limited_to(self, tmp_path: Path) -> None:
        """What stays is read on without a break, what comes in from where it is put."""
        with self.opened(tmp_path) as log:
            topic = self.topic(tmp_path)
            log.producer().produce([numbered(topic, range(20))])
            consumer = log.consumer([topic])
            with contextlib.closing(consumer):
                consumer.only(frozenset({(topic, 0), (topic, 1)}))
                consumer.seek({(topic, 0): 0, (topic, 1): 0})
                assert self._read(consumer) == {(topic, 0): 5, (topic, 1): 5}
                assert {p: o for p, o in consumer.positions().items() if p[1] < 2} == {(topic, 0): 5, (topic, 1): 5}
                log.producer().produce([numbered(topic, range(20, 40))])
                consumer.only(frozenset({(topic, 1), (topic, 2)}))
                consumer.seek({(topic, 2): 0})
                assert self._read(consumer) == {(topic, 1): 5, (topic, 2): 10}

    def _read(self, consumer: object) -> dict[Partition, int]:
        """Records by partition, until nothing comes any more."""
        found: dict[Partition, int] = {}
        quiet = 0
        while quiet < 3:
            blocks = consumer.poll(100, 0.3)  # type: ignore[attr-defined]
            quiet = 0 if blocks else quiet + 1
            for block in blocks:
                place = (block.topic, block.partition)
                found[place] = found.get(place, 0) + len(block)
        return found

    @contextlib.contextmanager
    def _group(self, place: Path) -> Iterator[Group]:
        clock = ManualClock()
        with self.opened(place, clock if self.own_clock else None) as log:
            group = Group(log, self.topic(place), clock, self.wait_s, moves=self.own_clock)
            try:
                yield group
            finally:
                for member in group.members:
                    member.close()


class Group:
    """Members of a log, and time that passes between their questions."""

    def __init__(self, log: Broker, topic: str, clock: ManualClock, wait_s: float, *, moves: bool) -> None:
        self.log, self.topic, self.clock, self._wait_s, self._moves = log, topic, clock, wait_s, moves
        self.every = frozenset((topic, number) for number in range(PARTITIONS))
        self.members: list[Membership] = []

    def join(self, leaving: Callable[[Share], None] | None = None, name: str = "") -> Membership:
        """A new member."""
        member = self.log.join(f"group{name}-{self.topic}", [self.topic], leaving)
        assert member.shared, "a log that shares says so of its memberships"
        self.members.append(member)
        return member

    def turn_until(
        self, wanted: Callable[[Sequence[Share]], bool], *members: Membership, disjoint: bool = False
    ) -> list[Share]:
        """Let members ask in turn until their shares are as wanted."""
        shares: list[Share] = [NOBODY] * len(members)
        until = time.monotonic() + self._wait_s
        while time.monotonic() < until:
            for at, member in enumerate(members):
                shares[at] = member.partitions()
                others = [share for other, share in enumerate(shares) if other != at]
                assert not disjoint or not shares[at] & NOBODY.union(*others), f"two have the same: {shares}"
            if wanted(shares):
                return shares
            if self._moves:
                self.clock.advance(TURN_S)
            else:
                time.sleep(TURN_S)
        raise AssertionError(f"the shares did not become what they should within {self._wait_s:g} s: {shares}")
