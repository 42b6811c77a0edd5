"""Single answers over log, table and tail in memory; the meaning of each is `World.define`."""

from __future__ import annotations

from contextlib import suppress

import pytest

from k2core.errors import BrokerAwayError, QueryError
from k2core.query.answer import RowsRequest


def fill(world, first, last, symbol="BTCUSDT"):
    for number in range(first, last):
        world.append(symbol, number)
        world.clock.advance(0.01)


def test_rows_are_the_same_wherever_the_halves_meet(world):
    fill(world, 0, 20)
    for committed in (0, 5, 5, 10):
        world.commit(committed)
        world.advance(0, 1000)
        world.check(0)
        world.check(0, limit=3, descending=False)


def test_duplicates_and_dead_letters_are_left_out(world):
    fill(world, 0, 4)
    world.append("BTCUSDT", 2)
    world.append("BTCUSDT", 9, bad=True)
    world.append("BTCUSDT", 9)
    world.advance(0, 1000)
    world.check(0)
    assert world.page(0).rows.num_rows == 5


def test_a_late_copy_of_a_forgotten_id_is_found_in_the_table(world):
    fill(world, 0, 4)
    world.advance(0, 1000)
    world.commit(1000)
    world.clock.advance(60)
    world.advance(0, 1000)
    world.append("BTCUSDT", 1)
    world.append("BTCUSDT", 1)
    world.advance(0, 1000)
    world.check(0)
    assert world.servers[0].tails["trades"].follower.duplicates == 2


def test_what_was_dropped_before_its_commit_is_read_from_the_log(world):
    fill(world, 0, 200)
    world.append("BTCUSDT", 3)
    world.advance(0, 1000)
    fill(world, 200, 210)
    world.advance(0, 1000)
    view = world.servers[0].tails["trades"].view
    assert max(view.starts.values()) > 0, "the tail was to be shortened"
    answer = world.page(0)
    assert answer.explain["hole_records"] > 0
    world.check(0)
    world.check(0, limit=7)


def test_a_hole_that_the_log_lost_is_named_as_missing(world):
    fill(world, 0, 200)
    world.advance(0, 1000)
    place = world.written[0].place
    world.log.trim(place, 50)
    answer = world.page(0)
    assert not answer.complete
    assert (answer.missing[0].topic, answer.missing[0].first_offset) == (place[0], 0)


def test_pages_of_one_cursor_go_on_at_another_server_while_data_pours_in(world):
    fill(world, 0, 30)
    for server in (0, 1):
        world.advance(server, 1000)
    answer = world.page(0, limit=4)
    want, got = world.define(answer.pin)[::-1], world.keys(answer)
    number = 30
    while answer.next_cursor:
        fill(world, number, number := number + 3)
        world.commit(2)
        world.table.compact()
        world.advance(1, 1000)
        answer = world.page(1, limit=4, cursor=answer.next_cursor)
        got += world.keys(answer)
    assert got == want


def test_a_server_behind_a_cursor_refuses_after_waiting(world):
    world.advance(1, 1000)
    fill(world, 0, 10)
    world.advance(0, 1000)
    cursor = world.page(0, limit=2).next_cursor
    with pytest.raises(QueryError) as refused:
        world.page(1, limit=2, cursor=cursor)
    assert (refused.value.kind, refused.value.status) == ("behind", 503)


def test_rollback_builds_the_tail_anew(world):
    fill(world, 0, 10)
    world.commit(4)
    world.commit(4)
    world.servers[0] = world.serve()
    world.rollback(1)
    with pytest.raises(QueryError) as refused:
        world.page(0)
    assert refused.value.kind == "rebuilding"
    world.advance(0, 1000)
    world.check(0)


def test_a_tail_that_retention_passed_starts_anew_from_the_table(world):
    fill(world, 0, 10)
    world.commit(1000)
    world.log.trim(world.written[0].place, 8)
    fill(world, 10, 12)
    world.advance(1, 1000)
    world.advance(1, 1000)
    world.check(1)
    assert world.servers[1].tails["trades"].rebuilt == 1
    assert world.metrics.value("k2_serve_tail_rebuilds_total", data_type="trades") >= 1


def test_records_that_neither_log_nor_table_has_are_an_error(world):
    fill(world, 0, 10)
    world.log.trim(world.written[0].place, 8)
    tail = world.servers[1].tails["trades"]
    tail.advance(0)
    with pytest.raises(QueryError, match="offset 0 is gone") as said:
        tail.advance(0)
    assert said.value.kind == "log-trimmed"


def test_as_of_a_closed_time_stays_the_same(world):
    fill(world, 0, 10)
    world.advance(0, 1000)
    at = world.clock.now_us() - 20_001
    answer = world.page(0, as_of_us=at)
    assert answer.reproducible
    assert world.keys(answer) == world.define(answer.pin, at)[::-1]
    fill(world, 10, 20)
    world.commit(7)
    world.advance(0, 1000)
    assert world.keys(world.page(0, as_of_us=at)) == world.keys(answer)


def test_as_of_an_open_time_says_so_and_the_future_is_refused(world):
    fill(world, 0, 3)
    world.advance(0, 1000)
    assert not world.page(0, as_of_us=world.clock.now_us()).reproducible
    with pytest.raises(QueryError) as refused:
        world.page(0, as_of_us=world.clock.now_us() + 1)
    assert refused.value.kind == "future-time"


def test_snapshot_id_gives_that_snapshots_rows_and_its_pages_outlive_it(world):
    fill(world, 0, 10)
    world.commit(4)
    old = world.table.newest()
    world.commit(4)
    world.advance(0, 1000)
    answer = world.page(0, snapshot_id=old.id, limit=3)
    world.table.compact()
    world.table.expire(1)
    got = world.keys(answer) + world.keys(world.page(0, cursor=answer.next_cursor))
    assert got == world.define(old.offsets)[::-1]
    with pytest.raises(QueryError, match="nearest"):
        world.page(0, snapshot_id=old.id)


def test_bars_of_both_halves_are_those_of_all_rows(world):
    for number in range(40):
        world.append("BTCUSDT", number, late_ms=number * 37 % 500)
        world.clock.advance(0.07)
    world.advance(0, 1000)
    service, request = world.servers[0], RowsRequest()
    whole = service.ohlcv(request, 1000).rows
    assert whole.num_rows > 2
    for most in (9, 14):
        world.commit(most)
        world.advance(0, 1000)
        assert service.ohlcv(request, 1000).rows.equals(whole)


def test_symbols_are_counted_in_both_halves(world):
    fill(world, 0, 5)
    fill(world, 0, 3, "ETHUSDT")
    world.advance(0, 1000)
    world.commit(2)
    rows = world.servers[0].symbols("trades", RowsRequest()).rows.to_pylist()
    assert [(r["symbol"], r["rows"]) for r in rows] == [("BTCUSDT", 5), ("ETHUSDT", 3)]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ({"limit": 0}, "invalid-parameter"),
        ({"limit": 10**9}, "invalid-parameter"),
        ({"start_ms": 5, "end_ms": 5}, "reversed-range"),
        ({"cursor": "AAAA"}, "invalid-cursor"),
        ({"cursor": "ü"}, "invalid-cursor"),
    ],
)
def test_what_cannot_be_asked_is_refused(world, words, kind):
    with pytest.raises(QueryError) as refused:
        world.page(0, **words)
    assert refused.value.kind == kind


def test_a_cursor_is_bound_to_its_question(world):
    fill(world, 0, 10)
    world.advance(0, 1000)
    cursor = world.page(0, limit=2, asked="symbol=BTCUSDT").next_cursor
    assert world.page(0, cursor=cursor, asked="symbol=BTCUSDT").rows.num_rows == 8
    with pytest.raises(QueryError) as refused:
        world.page(0, cursor=cursor, asked="symbol=ETHUSDT")
    assert refused.value.kind == "cursor-mismatch"
    with pytest.raises(QueryError) as refused:
        world.page(0, cursor=cursor[:-1] + ("A" if cursor[-1] != "A" else "B"))
    assert refused.value.kind == "invalid-cursor"


def test_an_answer_about_now_warns_where_the_log_is_away(world, monkeypatch):
    fill(world, 0, 4)
    world.commit(1000)
    world.advance(0, 1000)
    tail, now_ms = world.servers[0].tails["trades"], world.clock.now_ms()
    first = world.page(0, limit=2)
    assert not first.warnings

    def away(*asked):
        raise BrokerAwayError("Kafka is away")

    for owner, name in ((tail.follower, "poll"), (world.log, "ends")):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, away)
            for _ in range(20):  # readers at their ends hear nothing of it, and ends are not asked for at each
                world.clock.advance(0.6)
                with suppress(BrokerAwayError):
                    tail.advance(0)
            (warning,) = world.page(0).warnings
            assert warning.startswith("trades of the last 1"), warning
            assert world.page(0).complete, "below its pin nothing is left out"
            for settled in (
                {"end_ms": now_ms - 40}, {"snapshot_id": world.table.newest().id}, {"cursor": first.next_cursor},
            ):  # fmt: skip
                assert not world.page(0, **settled).warnings, settled
        world.clock.advance(1)
        tail.advance(0)
        assert not world.page(0).warnings


def test_an_answer_about_now_warns_while_the_tail_catches_up(world):
    tail = world.servers[0].tails["trades"]
    fill(world, 0, 50)
    world.clock.advance(1)
    for _ in range(20):
        world.advance(0, 1)
        world.clock.advance(1)
    assert world.page(0).warnings
    while tail.lag or tail.age_s > 1:
        fill(world, tail.view.rows + 100, tail.view.rows + 101)  # more comes in all the while
        world.advance(0, 5)
        world.clock.advance(1)
    assert not world.page(0).warnings
