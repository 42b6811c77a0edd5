"""`Owning`: the partitions that a pipeline owns, and how far the table is there: taken over, begun, given up.

Each partition goes through the same steps whatever happens to the others: taken (the owner's token stands in the table),
begun (the dedup store knows what the table has, reading goes on from the table's offset), given up (nothing of it is
left). A step that fails is done again with the next call, for what it had not reached.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from k2core.admission.holes import HoleLedger
from k2core.interfaces.broker import Partition
from k2core.interfaces.sharing import Leaving
from k2core.interfaces.sink import Gone, Ownership
from k2core.writer.intake import Intake
from k2core.writer.parts import Parts
from k2core.writer.settling import Settling
from k2core.writer.share import Share
from k2core.writer.start import agree, agreed_head, ids_of, infos_of, take_over
from k2core.writer.tell import tell_known
from k2core.writer.watched import Watched

NOBODY = Ownership("", frozenset())


class Owning:
    """Belongs to one pipeline.

    Args:
        parts: The pipeline's.
        ledger: Holes of what is owned.
        intake: Told of what is to be read.
        settling: Commits of which the dedup store does not know yet.
        leaving: Called before partitions go to somebody else.
    """

    def __init__(
        self, parts: Parts, ledger: HoleLedger, intake: Intake, settling: Settling, leaving: Leaving
    ) -> None:  # fmt: skip
        self._parts, self._ledger, self._intake, self._settling = parts, ledger, intake, settling
        self._leaving = leaving
        self._share: Share | None = None
        self._begun: set[Partition] = set()
        self._left = False
        self.held = NOBODY
        self.committed: dict[Partition, int] = {}
        self.gone: tuple[Gone, ...] = ()

    @property
    def places(self) -> frozenset[Partition]:
        """What is owned."""
        return self.held.partitions

    @property
    def shared(self) -> bool:
        """Whether other writers may have partitions of this table."""
        return self._share is not None and self._share.shared

    def start(self) -> None:
        """Take all over; where partitions are shared, only become a member: what is ours comes with `follow`.

        Raises:
            K2Error: See `WriterPipeline.start`.
        """
        parts = self._parts
        if self._share is None:
            membership = parts.broker.join(parts.name, parts.topics, self._leaving)
            self._share = Share(membership, parts.clock, parts.settings.contested_s)
        if self._share.shared:
            infos_of(parts.broker, parts.topics)
            parts.broker.register(parts.name, parts.topics)
        else:
            self.held = take_over(parts, skip=parts.skip_gone)
            self._tell("k2_writer_takeovers_total", 1)

    def follow(self) -> tuple[frozenset[Partition], frozenset[Partition]]:
        """Ask for our share.

        Returns:
            What is owned and no longer ours, and what is ours, not owned, and may be taken at once.

        Raises:
            BrokerError: The log cannot tell.
        """
        if self._share is None or not self._share.shared:
            return frozenset(), frozenset()
        ours = self._share.ask()
        return self.places - ours, self._share.free(ours - self.places)

    def take(self, more: frozenset[Partition]) -> None:
        """Own further partitions; `begin` follows.

        Raises:
            FencedError: Somebody took over some of what was owned; nothing changed.
            K2Error: See `WriterPipeline.start`.
        """
        parts = self._parts
        agree(parts, more, parts.table.head(), skip=self._may_skip(more), every=False)
        self.held = parts.table.take_more(self.held, more, ids_of(parts), parts.owner)
        self._tell("k2_writer_takeovers_total", 1)
        self._say("took partitions data_type=%s %s owned=%d", more)

    def begin(self, places: Collection[Partition]) -> None:
        """Read owned partitions on from the head; a window is built anew where the head is not where we left it.

        Raises:
            K2Error: See `WriterPipeline.start`; call again for what is not in `committed` then.
        """
        parts, fresh = self._parts, [place for place in places if place not in self.committed]
        which = frozenset(places)
        head = agreed_head(parts, self.held, which, skip=self._may_skip(which), every=not self.shared)
        self.gone = head.gone
        stored = Watched(parts.table.stored(), self._ledger, parts)
        since = parts.clock.now_us() - int(parts.settings.holes_minutes * 60_000_000)
        for place in sorted(places):
            offset = head.offsets.get(place, 0)
            if self.committed.get(place) != offset:
                self.committed.pop(place, None)
                self._settling.drop([place])
                parts.dedup.assign(place, offset, stored)
                stored.seed(place, since)
                self.committed[place] = offset
                self._begun.add(place)
        if fresh:
            tell_known(parts, self._ledger)

    def landed(self, offsets: Mapping[Partition, int]) -> None:
        """A commit moved the table to these next offsets."""
        self.committed.update(offsets)
        if self._share is not None:
            self._share.membership.note(offsets)

    def give_up(self, lost: frozenset[Partition], *, by_force: bool = False) -> None:
        """Nothing of these is ours any more.

        Args:
            lost: What is given up.
            by_force: Whether somebody else took them over before the log said so.
        """
        for place in lost:
            self._parts.dedup.revoke(place)
            self.committed.pop(place, None)
        self._settling.drop(lost)
        self._intake.forget(lost)
        self.held = Ownership(self.held.token, self.places - lost)
        self._tell("k2_writer_partitions_lost_total", len(lost) if by_force else 0)
        if self._share is None or not self._share.shared:
            return
        self._ledger.forget(lost)
        if by_force:
            self._share.contest(lost)
        self._say("gave up partitions data_type=%s %s owned=%d", lost)

    def leave(self) -> None:
        """Leave those who share: they get what is ours at once."""
        if self._share is not None and not self._left:
            self._left = True
            self._share.membership.close()
            if self._share.shared:
                self.give_up(self.places)

    def _may_skip(self, places: frozenset[Partition]) -> bool:
        """Consent to pass what is gone holds for the first beginning of a partition alone."""
        return self._parts.skip_gone and not places & self._begun

    def _tell(self, counter: str, more: int) -> None:
        parts = self._parts
        parts.metrics.add(counter, more, data_type=parts.data_type.name)
        parts.metrics.set("k2_writer_partitions_owned", len(self.places), data_type=parts.data_type.name)

    def _say(self, line: str, places: frozenset[Partition]) -> None:
        """One line, whose words are the event in JSON logs; none where it is about nothing."""
        if places:
            self._parts.logger.info(line, self._parts.data_type.name, _named(places), len(self.places))


def _named(places: frozenset[Partition]) -> str:
    """`market.crypto.trades.binance=0,4,7`."""
    topics = sorted({topic for topic, _ in places})
    return " ".join(f"{topic}={','.join(str(n) for t, n in sorted(places) if t == topic)}" for topic in topics)
