"""Answers stay exact while other threads append, commit and advance the tail, and while it is shortened under them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from k2core.errors import QueryError, SinkError

SECONDS = 1.5


def test_readers_see_whole_prefixes_while_everything_moves(world):
    stop, done = threading.Event(), time.monotonic() + SECONDS

    def feed():
        number = 0
        while not stop.is_set():
            for _ in range(7):
                world.append("BTCUSDT", number)
                number += 1
            world.clock.advance(0.4)
            if number % 3 == 0:
                world.commit(15)
        return number

    def follow():
        while not stop.is_set():
            world.servers[0].tails["trades"].advance(0.01)

    def ask():
        asked = holes = 0
        while time.monotonic() < done:
            answer = world.page(0, limit=100_000, descending=False)
            (end,) = answer.pin.values() or (0,)
            assert answer.complete, answer.missing
            assert answer.rows.column("log_offset").to_pylist() == list(range(end))
            holes += "hole_records" in answer.explain
            asked += 1
        return asked, holes

    with ThreadPoolExecutor(4) as pool:
        moving = [pool.submit(feed), pool.submit(follow)]
        try:
            asking = [pool.submit(ask) for _ in range(2)]
            found = [a.result(120) for a in asking]
        finally:
            stop.set()
        written = moving[0].result(120)
        moving[1].result(120)
    assert written > 100
    assert sum(asked for asked, _ in found) > 10


def test_a_table_that_cannot_be_planned_is_an_error_and_never_half_an_answer(world, monkeypatch):
    world.append("BTCUSDT", 1)
    world.commit(1)
    world.advance(0, 10)

    def broken(*_, **__):
        raise SinkError("manifest list is unreadable")

    monkeypatch.setattr(world.table, "scan", broken)
    with pytest.raises(SinkError, match="manifest list"):
        world.page(0)


def test_a_stalled_table_leaves_the_tail_as_it_was_and_nothing_is_lost(world, monkeypatch):
    world.append("BTCUSDT", 1)
    world.commit(1)
    world.clock.advance(60)
    world.servers[0] = world.serve()
    world.append("BTCUSDT", 1)
    world.append("BTCUSDT", 2)
    tail, stored = world.servers[0].tails["trades"], world.table.stored

    def away(snapshot=None):
        raise SinkError("the catalog is away")

    monkeypatch.setattr(world.table, "stored", away)
    before = tail.view
    with pytest.raises(SinkError):
        tail.advance(0)
    assert tail.view is before
    monkeypatch.setattr(world.table, "stored", stored)
    tail.advance(0)
    world.check(0)


def test_a_query_that_takes_too_long_is_stopped(world, monkeypatch):
    newest = world.table.newest

    def slow():
        world.clock.advance(world.settings.timeout_s + 1)
        return newest()

    world.append("BTCUSDT", 1)
    world.commit(1)
    world.advance(0, 10)
    monkeypatch.setattr(world.table, "newest", slow)
    with pytest.raises(QueryError) as stopped:
        world.page(0)
    assert (stopped.value.kind, stopped.value.status) == ("timeout", 503)
