"""When the past is settled: `as_of T` gives the same rows for ever once no record can be appended at or before T."""

from __future__ import annotations

from collections.abc import Sequence

from k2core.clock import Clock
from k2core.config.settings import QuerySettings
from k2core.errors import LogBusyError, QueryError
from k2core.interfaces.broker import Broker
from k2core.query.gate import Deadline
from k2core.query.tail import Tail

_PAUSE_S = 0.02


def settle(tail: Tail, as_of_us: int, settings: QuerySettings, clock: Clock, deadline: Deadline) -> bool:
    """Wait, bounded, until a time is closed and the tail has read all of it.

    Args:
        tail: The hot half.
        as_of_us: T, Unix µs.
        settings: How long to wait.
        clock: The time.
        deadline: Of the whole query.

    Returns:
        Whether the same question will give the same rows for ever.

    Raises:
        QueryError: T is in the future.
    """
    now_us = clock.now_us()
    if as_of_us > now_us:
        raise QueryError(
            f"as_of lies {(as_of_us - now_us) / 1e6:.3f} s in the future: ask for a time up to now",
            kind="future-time",
        )
    until = clock.monotonic() + min(settings.wait_s, deadline.left())
    topics, broker = tail.parts.topics, tail.parts.broker
    tries = 1 + int(settings.wait_s / _PAUSE_S)  # a bound of its own: a clock may stand still
    while not _is_closed(broker, topics, as_of_us):
        left, tries = until - clock.monotonic(), tries - 1
        if left <= 0 or not tries:
            return False
        tail.wait(lambda _: False, min(_PAUSE_S, left))
    # Everything at or before T lies below the log's ends as of now.
    ends = broker.ends(topics)
    return tail.wait(lambda v: all(v.ends.get(p, 0) >= n for p, n in ends.items()), until - clock.monotonic())


def _is_closed(broker: Broker, topics: Sequence[str], as_of_us: int) -> bool:
    """Whether the log promises it. Age alone promises nothing: a producer may be frozen between stamp and commit."""
    try:
        return broker.closed_until(topics) >= as_of_us
    except LogBusyError:  # somebody is appending, for longer than usual
        return False
