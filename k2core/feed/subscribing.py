"""Asking for subscriptions and checking the answers. No I/O, no clock: `Connection` brings both.

A refused request is split in halves until the culprit stands alone; that one is reported and the others go on. Where
the exchange names what it accepts or refuses, each subscription is answered by itself. What was learned stays in
`Wanted`, so that the next connection asks in the same pieces at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from k2core.interfaces.connector import Reply, Request, WebSocketFeed
from k2core.interfaces.frames import Subscription

Group = tuple[Subscription, ...]
NO_WORD = "refused without a word"
SILENT_CONNECTIONS = 2
"""After so many connections in a row that acknowledged nothing, a single request is split: one part may be the cause."""


@dataclass
class Wanted:
    """What one shard asks for; outlives connections.

    Args:
        groups: Subscriptions that are asked for together.
        refused: Those that the exchange refused, with its words.
        silent: Connections in a row on which nothing was acknowledged.
    """

    groups: list[Group]
    refused: dict[Subscription, str] = field(default_factory=dict)
    silent: int = 0

    def leave_out(self, unknown: frozenset[Subscription]) -> list[Group]:
        """Groups without subscriptions that the exchange does not know."""
        left = (tuple(s for s in g if s not in unknown) for g in self.groups)
        return [g for g in left if g]

    def split(self, group: Group) -> tuple[Group, Group]:
        """Ask for the halves of a group from now on; their members are tried alone in the end."""
        at = len(group) // 2
        halves = group[:at], group[at:]
        members = set(group)
        self.groups = [*self.leave_out(frozenset(members)), *halves]
        return halves

    def set_apart(self, subscription: Subscription) -> None:
        """Ask for one alone from now on, so that it cannot spoil a request for others."""
        self.groups = [*self.leave_out(frozenset([subscription])), (subscription,)]


@dataclass(slots=True)
class Asked:
    """A request on its way.

    Args:
        group: What it asks for.
        sent_at: When it was written; None: not yet.
        answered: What of it the exchange answered by name.
    """

    group: Group
    sent_at: float | None = None
    answered: set[Subscription] = field(default_factory=set)

    @property
    def open(self) -> Group:
        """What is still unanswered."""
        return tuple(s for s in self.group if s not in self.answered)


class Subscribing:
    """The subscriptions of one connection.

    Args:
        feed: Makes the requests.
        wanted: The shard's; changed when something is refused.
        send: Queues a request for writing.
        logger: For refusals.
    """

    def __init__(
        self, feed: WebSocketFeed, wanted: Wanted, send: Callable[[Request, Asked], None], logger: logging.Logger
    ) -> None:
        self._feed, self._wanted, self._send, self._logger = feed, wanted, send, logger
        self._next_id = 1
        self._answered: dict[str, Asked] = {}
        self.pending: dict[str, Asked] = {}
        self.accepted = 0

    @property
    def done(self) -> bool:
        """Whether every request was answered."""
        return not self.pending

    def begin(self, groups: Sequence[Group]) -> None:
        """Ask for everything."""
        for group in groups:
            self._ask(group)

    def _ask(self, group: Group) -> None:
        requests = self._feed.subscribe(group, self._next_id)
        self._next_id += len(requests)
        for request in requests:
            self.pending[request.request_id] = asked = Asked(request.subscriptions or group)
            self._send(request, asked)

    def reply(self, reply: Reply, *, accepted: bool) -> None:
        """Take an acknowledgement or a refusal, of a request or of parts of it."""
        if reply.subscriptions:
            self._reply_by_name(reply, accepted=accepted)
        elif accepted:
            if reply.request_id is not None and (asked := self.pending.get(reply.request_id)):
                self._accept(asked.open)
                self._answered[reply.request_id] = self.pending.pop(reply.request_id)
        elif asked := self._refused_request(reply.request_id):
            self._part(asked.open or asked.group, reply.message or NO_WORD)
        else:
            self._not_asked(reply)

    def _reply_by_name(self, reply: Reply, *, accepted: bool) -> None:
        """Subscriptions were answered by name: of the request that is named too, else of whichever asked for them."""
        everything = self.pending | self._answered
        named = everything.get(reply.request_id) if reply.request_id is not None else None
        asked_for = {s for asked in ([named] if named else everything.values()) for s in asked.group}
        meant = tuple(s for s in reply.subscriptions if s in asked_for)
        for asked in everything.values():
            asked.answered.update(s for s in meant if s in asked.group)
        for name in [n for n, asked in self.pending.items() if not asked.open]:
            self._answered[name] = self.pending.pop(name)
        if accepted:
            self._accept(meant)
        elif not meant:
            self._not_asked(reply)
        for one in () if accepted else meant:
            self._wanted.set_apart(one)
            self._refuse(one, reply.message or NO_WORD)

    def _accept(self, parts: Group) -> None:
        if not parts:
            return
        self.accepted += 1
        self._wanted.silent = 0
        for subscription in parts:
            self._wanted.refused.pop(subscription, None)

    def _not_asked(self, reply: Reply) -> None:
        self._logger.warning("the exchange refused something that was not asked for: %s", reply.message)

    def _refused_request(self, name: str | None) -> Asked | None:
        """The request that a refusal means: the one it names, also if part of it was accepted; else the oldest."""
        if name is None:
            name = next(iter(self.pending), None)
        return (self.pending.pop(name, None) or self._answered.pop(name, None)) if name is not None else None

    def _part(self, group: Group, why: str) -> None:
        # A feed may cut one group into several requests: what is asked for anew need not be waited for twice.
        for name in [n for n, a in self.pending.items() if a.open == group]:
            del self.pending[name]
        if len(group) == 1:
            self._refuse(group[0], why)
            return
        self._logger.warning("a request for %d subscriptions was refused (%s): asking for its halves", len(group), why)
        for half in self._wanted.split(group):
            self._ask(half)

    def _refuse(self, one: Subscription, why: str) -> None:
        self._wanted.refused[one] = why
        self._logger.error(
            "%s of %s is refused by the exchange: %s; it is left out, and tried again on the next connection",
            one.data_type,
            one.symbol,
            why,
        )

    def next_deadline(self, patience: float) -> float | None:
        """When the first request that was written counts as unacknowledged."""
        times = [a.sent_at for a in self.pending.values() if a.sent_at is not None]
        return min(times) + patience if times else None

    def give_more_time(self, now: float) -> None:
        """Answers could not be read for a while: their time begins anew."""
        for asked in self.pending.values():
            asked.sent_at = now if asked.sent_at is not None else None

    def overdue(self, now: float, patience: float) -> bool:
        """Deal with unacknowledged requests; True where the connection must be given up.

        One that acknowledged other requests is kept: the overdue ones are asked for again in pieces. One that
        acknowledged nothing is made again; if that happens over and over, a single request is split first.
        """
        late = [a for a in self.pending.values() if a.sent_at is not None and a.sent_at + patience <= now]
        if not late:
            return False
        if not self.accepted:
            self._wanted.silent += 1
            group = late[0].open
            if self._wanted.silent >= SILENT_CONNECTIONS and len(self._wanted.groups) == 1 and len(group) > 1:
                self._wanted.split(group)
            return True
        for asked in late:
            if asked in self.pending.values():
                self._part(asked.open, f"not acknowledged within {patience:g} s")
        return False
