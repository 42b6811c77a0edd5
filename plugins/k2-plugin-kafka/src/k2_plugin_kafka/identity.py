"""`Identity`: whether topics are still those that a reader began with. Names return, ids do not.

The client reads by name: where a topic was deleted and made anew while nobody looked (the process was frozen, brokers were
away, nothing had been read yet), it goes on in the new topic at the old place and says nothing (measured). So records are
handed out only where the ids were seen after those had come: at once with a new client, and once a `SURE_S` after that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping

from k2core.plugin import TopicChangedError, TopicInfo

SURE_S = 0.1
"""So long an answer counts. A topic that is deleted, made and filled again takes longer; were it not so, the next answer
tells. An answer costs 0.2 ms of CPU time.
"""
LOOKS, PAUSE_S = 10, 0.1
"""A topic that is not told of is looked for again: brokers that start may not know it for a moment."""


class Identity:
    """The ids of a reader's topics.

    Args:
        topics: As they were at the start.
        find: Those of these names that there are now.
    """

    def __init__(
        self, topics: Mapping[str, TopicInfo], find: Callable[[Iterable[str]], Mapping[str, TopicInfo]]
    ) -> None:
        self._topics, self._find = topics, find
        self._sure_until = float("-inf")

    def doubt(self) -> None:
        """Ask anew the next time: the client is another one."""
        self._sure_until = float("-inf")

    def check(self) -> None:
        """What came until now is of these topics.

        Raises:
            TopicChangedError: One is gone, or made anew.
            BrokerAwayError: Nobody can tell.
        """
        asked = time.monotonic()
        if asked < self._sure_until:
            return
        now = self._now()
        for name, was in self._topics.items():
            if name not in now or now[name].id != was.id:
                found = f"its id is {now[name].id} now" if name in now else "it is gone"
                raise TopicChangedError(
                    f"topic {name} (id {was.id}) was deleted or made anew while it was read: {found}"
                )
        self._sure_until = asked + SURE_S

    def _now(self) -> Mapping[str, TopicInfo]:
        for _ in range(LOOKS):
            if len(now := self._find(self._topics)) == len(self._topics):
                break
            threading.Event().wait(PAUSE_S)
        return now
