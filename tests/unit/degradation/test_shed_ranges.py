"""Ranges with shed records: joined where they are one, cut where they come back, bounded."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from k2core.interfaces.shed import ANY, MOST_RANGES, MOST_SYMBOLS, Shed, counted, merged_shed, restored_shed

TOPIC = "market.crypto.trades.binance"


def made(first: int, after: int, *symbols: tuple[str, int], rule: str = "r", place: int = 0) -> Shed:
    return Shed(TOPIC, place, first, after, counted(symbols), "GRACEFUL", rule, first, after)


def done(one: Shed, *symbols: tuple[str, int], to: int | None = None) -> Shed:
    return replace(
        one, symbols=symbols or one.symbols, next_offset=to or one.next_offset, state="restored", back_offset=99
    )


def test_neighbours_under_one_rule_become_one() -> None:
    have = merged_shed((), [made(0, 5, ("A", 2))])
    assert merged_shed(have, [made(5, 9), made(9, 12, ("A", 1), ("B", 1))]) == (made(0, 12, ("A", 3), ("B", 1)),)
    assert len(merged_shed(have, [made(5, 9, ("A", 1), rule="other")])) == 2
    assert len(merged_shed(have, [made(6, 9, ("A", 1))])) == 2
    assert len(merged_shed(have, [made(5, 9, ("A", 1), place=1)])) == 2


def test_ranges_without_records_leave_nothing() -> None:
    assert merged_shed((), [made(0, 5)]) == ()
    assert merged_shed([made(0, 5, ("A", 1))], [made(7, 9)]) == (made(0, 5, ("A", 1)),)


def test_what_comes_back_is_cut_from_what_grew_meanwhile() -> None:
    was = made(0, 10, ("A", 4), ("B", 2))
    grown = merged_shed([was], [made(10, 20, ("A", 3))])
    found = restored_shed(grown, [done(was)])
    assert found == (done(was), replace(made(10, 20, ("A", 3)), last_us=20))
    assert restored_shed(found, [done(was)]) == found, "again changes nothing"


def test_one_symbol_may_come_back_alone() -> None:
    was = made(0, 10, ("A", 4), ("B", 2))
    found = restored_shed([was], [done(was, ("A", 4))])
    assert {(one.symbols, one.state) for one in found} == {((("A", 4),), "restored"), ((("B", 2),), "shed")}
    assert restored_shed(found, [done(was, ("A", 4))]) == found
    grown = merged_shed(found, [made(10, 12, ("A", 1))])
    assert made(10, 12, ("A", 1)) in grown, "what is left of a range grows no further"


def test_what_is_left_behind_by_one_symbol_grows_no_further() -> None:
    """It lacks the others: joined with what is shed later, it would count theirs too low."""
    was = made(0, 10, ("A", 4), ("B", 2))
    grown = merged_shed([was], [made(10, 20, ("A", 1), ("B", 1))])
    found = restored_shed(grown, [done(was, ("A", 4))])
    assert made(20, 30, ("A", 1), ("B", 1)) in merged_shed(found, [made(20, 30, ("A", 1), ("B", 1))])


def test_two_backfills_beside_each_other_note_each_symbol_once() -> None:
    was = made(0, 10, ("A", 4), ("B", 2))
    found = restored_shed(restored_shed([was], [done(was, ("A", 4))]), [done(was)])
    assert found == (done(was, ("A", 4)), replace(done(was, ("B", 2)), rule="r"))


def test_many_symbols_are_not_named() -> None:
    one = made(0, 9, *((f"S{k}", 1) for k in range(MOST_SYMBOLS + 1)))
    assert one.symbols == ((ANY, MOST_SYMBOLS + 1),)
    assert one.concerns(["whatever"])


def test_many_ranges_are_joined_and_say_that_they_are_not_exact() -> None:
    ranges = [made(10 * k, 10 * k + 5, ("A", 1)) for k in range(MOST_RANGES + 40)]
    found = merged_shed((), ranges)
    assert len(found) == MOST_RANGES
    assert (found[0].rule, found[0].records, found[1].rule) == ("", 41, "r")
    assert sum(one.records for one in found) == len(ranges)


@given(seed=st.integers(0, 1 << 30))
@settings(max_examples=150, deadline=None)
def test_no_record_is_forgotten_and_none_is_made_up(seed: int) -> None:
    """Any commits and backfills: each record is shed or restored, exactly as it was told."""
    dice, have, at = random.Random(seed), (), 0
    truth: dict[tuple[int, str], str] = {}
    for _ in range(60):
        if dice.random() < 0.6 or not have:
            new, commit = [], dice.randint(1, 4)
            for _ in range(commit):
                rule, size = dice.choice("pq"), dice.randint(1, 6)
                names = {"p": "AB", "q": "A"}[rule] if dice.random() < 0.8 else ""
                records = [(at + k, dice.choice(names)) for k in range(size) if names and dice.random() < 0.7]
                truth |= dict.fromkeys(records, "shed")
                new.append(made(at, at + size, *((s, 1) for _, s in records), rule=rule))
                at += size + dice.choice((0, 0, 0, 3))
            have = merged_shed(have, new)
        elif ranges := [one for one in have if one.state == "shed"]:
            was = dice.choice(ranges)
            names = dice.choice((sorted(was.names), sorted(was.names)[:1]))
            have = restored_shed(have, [done(was, *((s, c) for s, c in was.symbols if s in names))])
            for o, s in truth:
                if was.first_offset <= o < was.next_offset and s in names:
                    truth[o, s] = "restored"
        for state in ("shed", "restored"):
            said = sum(one.records for one in have if one.state == state)
            assert said == sum(value == state for value in truth.values())
        for one in (one for one in have if one.rule):
            for symbol, count in one.symbols:
                inside = [v for (o, s), v in truth.items() if s == symbol and one.first_offset <= o < one.next_offset]
                assert inside == [one.state] * count
