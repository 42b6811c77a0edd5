"""Bounds of files are where pruning goes wrong: every selection that ends exactly at one, or one beside it."""

from __future__ import annotations

import dataclasses
from typing import Any

from k2_plugin_iceberg import scan as scanning

from k2core.plugin import Selection


def test_bounds_at_the_edges_of_files(busy: Any, oracle: Any) -> None:
    rows, source = busy.brute(), busy.source()
    snapshot = source.newest()
    files, whole = source._plan.files(snapshot), dict(snapshot.offsets)
    edges: list[Selection] = []
    for ms in sorted({*files.ms_lo.tolist(), *files.ms_hi.tolist()}):
        for near in (ms, ms + 1):
            edges += [Selection(below=whole, start_ms=near), Selection(below=whole, end_ms=near)]
    for us in sorted({*files.appended_lo.tolist(), *files.appended_hi.tolist()}):
        edges += [Selection(below=whole, as_of_us=us), Selection(below=whole, as_of_us=us - 1)]
    for number, end in zip(files.partition_lo.tolist(), files.offset_hi.tolist(), strict=True):
        for near in (end, end + 1):
            edges.append(Selection(below={p: near if p[1] == number else n for p, n in whole.items()}))
    assert len(edges) > 100
    for selection in edges:
        found = source.scan(snapshot, selection, timeout=60).rows.to_pylist()
        assert found == oracle.scan(rows, selection), selection


def test_pages_by_key_are_one_big_read(busy: Any, oracle: Any) -> None:
    source = busy.source()
    snapshot = source.newest()
    for descending in (True, False):
        whole = Selection(below=snapshot.offsets, descending=descending, symbols=("BTCUSDT", "X"))
        expected = source.scan(snapshot, whole, timeout=60).rows.to_pylist()
        pages: list[Any] = []
        after = None
        while True:
            page = Selection(
                below=snapshot.offsets, descending=descending, symbols=("BTCUSDT", "X"), limit=7, after=after
            )
            rows = source.scan(snapshot, page, timeout=60).rows.to_pylist()
            if not rows:
                break
            pages += rows
            after = oracle.key(rows[-1])
        assert pages == expected


def test_large_files_of_several_row_groups(new_world: Any, oracle: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(scanning, "DIRECT_ROWS", 500)
    world = new_world("large", row_group_rows=1024)
    for _ in range(2):
        world.commit(world.rows(4000))
        world.move(20)
    rows, source = world.brute(), world.source()
    snapshot = source.newest()
    keys = sorted(oracle.key(r) for r in rows)
    for symbols in (None, ("BTCUSDT",), ("X", "BTC/USD"), ("nobody",)):
        for descending in (True, False):
            for limit in (1, 30, 3000, None):
                for after in (None, keys[1000], keys[-5]):
                    wanted = Selection(
                        below=snapshot.offsets, symbols=symbols, descending=descending, limit=limit, after=after
                    )
                    assert source.scan(snapshot, wanted, timeout=60).rows.to_pylist() == oracle.scan(rows, wanted)
    stored = source.stored()
    held = [b for place in world.offsets for b in stored.load(place, 0)]
    assert sum(len(b) for b in held) == len(rows)
    assert all(stored.contains(dataclasses.replace(b, offsets=b.offsets + 10_000)).all() for b in held)


def test_what_was_pruned_is_told(busy: Any) -> None:
    source = busy.source()
    snapshot = source.newest()
    stats = source.scan(snapshot, Selection(below=snapshot.offsets, symbols=("X",)), timeout=10).stats
    assert stats["files"] > stats["files_pruned"] > 0
    assert stats["partitions"] > stats["partitions_pruned"] > 0
    assert source.scan(snapshot, Selection(below=snapshot.offsets, symbols=("nobody",)), timeout=10).stats["bytes"] == 0
