"""What a commit leaves for another's hand: nothing of it is lost on the way, and it is judged by no older table."""

from __future__ import annotations

from typing import Any

from k2_plugin_iceberg.entry import Entry, read

from k2core.plugin import Gone, LogFacts, Ownership, Shed

TOPIC = "market.crypto.trades.binance"
SHED = Shed(TOPIC, 3, 4, 9, (("A", 1), ("B", 2)), "GRACEFUL", "rule", 5, 7)
BACK = Shed(TOPIC, 3, 1, 3, (("A", 2),), "GRACEFUL", "rule", 5, 7, "restored", 30, 8)


def test_an_entry_is_the_same_from_its_text() -> None:
    mine = frozenset({(TOPIC, 3), (TOPIC, 5)})
    facts = LogFacts(stamps={(TOPIC, 3): "stamp"}, gone=(Gone(TOPIC, 5, 0, 2, None),), shed=(SHED, BACK))
    entry = Entry([], Ownership("token", mine), {(TOPIC, 3): 4}, {(TOPIC, 3): 9, (TOPIC, 5): 2}, facts)
    assert read(entry.text()) == entry


def test_what_waits_is_read_before_the_table_is(lake: Any) -> None:
    """An entry whose owner has just committed would be refused on a table that was read before."""
    first, second = lake.table(), lake.table()
    places = ((TOPIC, 3), (TOPIC, 5))
    one, two = (
        t.take_over(frozenset({p}), {TOPIC: "id-1"}, "me") for t, p in zip((first, second), places, strict=True)
    )
    queue = first._committer._shared._queue
    looked, made = queue.waiting, iter((False, True))

    def meanwhile() -> Any:
        if not next(made, True):
            second.commit(second.stage(lake.tape.trades(0, 0)), two, {}, {places[1]: 5})
            queue.put("next", Entry([], two, {places[1]: 5}, {places[1]: 9}, LogFacts()).text(), 0, ())
        return looked()

    queue.waiting, first._committer._crowded_until = meanwhile, float("inf")
    first.commit(first.stage(lake.tape.trades(0, 0)), one, {}, {places[0]: 7})
    seen = queue.look("next")
    assert (seen.state, seen.holder) == ("landed", ""), "whoever landed lets others commit"
    assert first.head().offsets == {places[0]: 7, places[1]: 9}


def test_what_has_landed_cannot_be_refused(lake: Any) -> None:
    """By a committer that was slower: the owner would delete files that the table has."""
    queue = lake.table()._committer._shared._queue
    queue.put("one", "{}", 0, ())
    with queue._engine.begin() as link:
        assert queue.land(link, ["one"], 7, "me")
    queue.refuse({"one": {"why": "conflict", "message": "too late"}})
    assert queue.look("one").state == queue.withdraw("one", 0).state == "landed"
