"""Which missing ids a server knows that was started after they were missed."""

from __future__ import annotations

import pytest


def holes(server) -> list[tuple[str, int, int]]:
    return [(h.symbol, h.first, h.last) for h in server.tails["trades"].holes]


def append(world, *ids: int) -> None:
    for number in ids:
        world.append("BTCUSDT", number)


@pytest.mark.parametrize("world", ["contiguous"], indirect=True)
def test_a_server_that_starts_again_knows_the_holes_within_its_tail(world):
    append(world, 1, 2, 5)
    world.commit(1 << 30)
    world.clock.advance(1)
    again = world.serve()
    assert holes(again) == [("BTCUSDT", 3, 4)]
    assert again.tails["trades"].missing["binance"] == 2


@pytest.mark.parametrize("world", ["contiguous"], indirect=True)
def test_of_what_is_older_than_the_tail_the_newest_id_is_known(world):
    append(world, 1, 2, 5)
    world.commit(1 << 30)
    world.clock.advance(3600)
    append(world, 8)
    again = world.serve()
    assert holes(again) == [("BTCUSDT", 6, 7)]
