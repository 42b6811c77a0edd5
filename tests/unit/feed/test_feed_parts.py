"""Queue, budget, back-off, `Retry-After` and the splitting of refused requests, each alone."""

from __future__ import annotations

import logging
import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2core.errors import ConfigError
from k2core.feed.pacing import LONGEST_HOLD_S, Backoff, ConnectBudget, retry_after
from k2core.feed.queue import FrameQueue, Run
from k2core.feed.subscribing import Asked, Subscribing, Wanted
from k2core.interfaces.connector import FrameKind, Reply, Request
from k2core.interfaces.frames import Subscription
from k2core.testing import ManualClock
from tests.integration.feed.toy_exchange import ToyFeed

NOW = datetime(2026, 8, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("17", 17),
        ("0.5", 0.5),
        ("Sat, 01 Aug 2026 00:01:00 GMT", 60),
        ("Sat, 01 Aug 2020 00:01:00 GMT", 0),
        ("99999999", LONGEST_HOLD_S),
        ("-3", 0),
        ("nan", None),
        ("later", None),
        ("", None),
    ],
)
def test_retry_after_is_read_as_the_rfc_has_it(text: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": text}, NOW) == seconds
    assert retry_after({"retry-after": text}, NOW) == seconds
    assert retry_after({}, NOW) is None


def test_back_off_grows_to_its_cap_and_never_overflows() -> None:
    backoff = Backoff(1, 60, random.Random(1))
    waits = [backoff.next() for _ in range(5000)]
    assert all(w <= min(60, 2**n) for n, w in enumerate(waits[:10]))
    assert 59 < max(waits) <= 60
    backoff.reset()
    assert backoff.next() <= 1


async def test_the_budget_holds_in_any_window() -> None:
    clock, times = ManualClock(), []

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)

    budget = ConnectBudget(5, 60, clock, sleep)
    for at in range(40):
        await budget.acquire()
        times.append(clock.monotonic())
        clock.advance(at % 7)
        if at == 20:
            budget.hold(500)
            budget.hold(5)  # a shorter wish does not shorten the longer one
    assert all(times[i + 5] - times[i] >= 60 for i in range(35))
    assert times[21] - times[20] >= 500


@given(
    runs=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9), st.integers(0, 2)), max_size=40),
    most=st.integers(1, 12),
)
async def test_the_queue_keeps_order_and_numbers_of_every_connection(
    runs: list[tuple[int, int, int]], most: int
) -> None:
    queue, next_number, pushed = FrameQueue(10_000, 1 << 30, most), {0: 0, 1: 0, 2: 0}, []
    for connection, n, hole in runs:
        first = next_number[connection] + hole  # control frames leave holes
        next_number[connection] = first + n
        queue.push(connection, Run(first, [b"%d/%d" % (connection, first + i) for i in range(n)], 100 + first))
        pushed += [(connection, first + i, 100 + first) for i in range(n)]
    queue.close()
    taken = []
    while (batch := await queue.get()) is not None:
        assert 0 < len(batch) <= most
        assert len(batch.frames) == len(batch.received_ns)
        for at, (frame, received) in enumerate(zip(batch.frames, batch.received_ns, strict=True)):
            number = batch.first_number + at
            assert frame == b"%d/%d" % (batch.connection, number)
            taken.append((batch.connection, number, received))
    assert sorted(taken) == sorted(pushed)
    for connection in range(3):
        assert [t for t in taken if t[0] == connection] == [p for p in pushed if p[0] == connection]
    assert (queue.frames, queue.bytes) == (0, 0)


async def test_the_queue_resumes_at_half_and_takes_turns() -> None:
    queue, resumed = FrameQueue(10, 1 << 20, 2), []
    queue.push(1, Run(0, [b"x"] * 11, 1))
    queue.push(2, Run(0, [b"y"], 1))
    assert queue.full
    queue.wait_for_room(lambda: resumed.append(queue.frames))
    order = []
    while queue.frames:
        batch = await queue.get()
        assert batch
        order.append(batch.connection)
    assert order == [1, 2, 1, 1, 1, 1, 1]
    assert resumed == [5]


async def test_a_failed_queue_gives_what_it_has_then_the_error() -> None:
    queue = FrameQueue(10, 10, 10)
    queue.push(0, Run(0, [b"x"], 1))
    queue.fail(ConfigError("wrong"))
    assert await queue.get()
    with pytest.raises(ConfigError):
        await queue.get()


@given(st.integers(1, 200), st.sets(st.integers(0, 199), max_size=5))
def test_refusals_end_with_exactly_the_culprits(n: int, bad: set[int]) -> None:
    symbols = [f"S{i}" for i in range(n)]
    culprits = {f"S{i}" for i in bad if i < n}
    wanted = Wanted([tuple(Subscription(s, "trades") for s in symbols)])
    for connection in range(2):
        asked: list[tuple[Request, Asked]] = []
        sub = Subscribing(
            ToyFeed("ws://x"), wanted, lambda r, a, asked=asked: asked.append((r, a)), logging.getLogger("k2.q")
        )
        sub.begin(wanted.groups)
        first = len(asked)
        while not sub.done:
            request, group = asked.pop(0)
            refused = culprits & {s.symbol for s in group.group}
            kind = FrameKind.REFUSED if refused else FrameKind.ACK
            sub.reply(Reply(kind, request.request_id, "no"), accepted=not refused)
        assert {s.symbol for s in wanted.refused} == culprits
        assert sorted(s.symbol for g in wanted.groups for s in g) == sorted(symbols)
        if connection == 1:
            assert sum(len(g) for g in wanted.groups if g[0].symbol in culprits) == len(culprits)
            assert first == len(wanted.groups)  # what was learned is kept: nothing is split again


def test_a_refusal_after_an_acknowledgement_counts_too() -> None:
    """Exchanges that answer for each symbol use one request id for all of them."""
    wanted = Wanted([tuple(Subscription(s, "trades") for s in "AB")])
    asked: list[Request] = []
    sub = Subscribing(ToyFeed("ws://x"), wanted, lambda r, a: asked.append(r), logging.getLogger("k2.q"))
    sub.begin(wanted.groups)
    sub.reply(Reply(FrameKind.ACK, "1"), accepted=True)
    sub.reply(Reply(FrameKind.REFUSED, "1", "no B"), accepted=False)
    assert [r.request_id for r in asked] == ["1", "2", "3"]
    sub.reply(Reply(FrameKind.ACK, "2"), accepted=True)
    sub.reply(Reply(FrameKind.REFUSED, None, "no B"), accepted=False)  # without an id: the one that waits
    assert wanted.refused == {Subscription("B", "trades"): "no B"}
    sub.reply(Reply(FrameKind.REFUSED, "77", "what?"), accepted=False)
    assert sub.done
