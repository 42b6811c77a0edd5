"""Who is shed first: by name, by volume, and the same for as long as anything is shed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from k2core.degradation import DegradationSettings, Level, Tiers
from k2core.degradation.memory import Memory, limit_of


def made(**given: object) -> Tiers:
    return Tiers(DegradationSettings.model_validate(given))


def test_the_first_pattern_that_fits_counts() -> None:
    tiers = made(tiers={"BTCUSDT": 1, "kraken:*": 3, "*USDT": 2}, default_tier=3)
    found = [
        tiers.tier(*key) for key in (("binance", "BTCUSDT"), ("kraken", "ETHUSDT"), ("binance", "ETHUSDT"), ("x", "A"))
    ]
    assert found == [1, 3, 2, 3]


@pytest.mark.parametrize("pattern", ["btc[*", "btc[", "[]", "[!]", "[a]b[c"])
def test_a_pattern_with_an_open_bracket_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(f'tiers\n  Value error, "{pattern}" has a [ without its ]')):
        made(tiers={"*USDT": 2, pattern: 1})


@pytest.mark.parametrize(
    ("pattern", "symbol"),
    [("BTC[*]", "BTC*"), ("[]]", "]"), ("[!]]", "a"), ("[[]a", "[a"), ("]", "]"), ("[a][b]", "ab")],
)
def test_a_pattern_with_closed_brackets_fits(pattern: str, symbol: str) -> None:
    assert made(tiers={pattern: 1}, default_tier=3).tier("binance", symbol) == 1


def test_volume_ranks_what_no_pattern_names() -> None:
    tiers = made(top_symbols=1, next_symbols=1, tiers={"VIP": 1})
    tiers.count(0.0, {("e", "A"): 5, ("e", "B"): 50, ("e", "C"): 1, ("e", "VIP"): 0})
    tiers.freeze()
    assert [tiers.tier("e", s) for s in ("B", "A", "C", "NEW", "VIP")] == [1, 2, 3, 3, 1]
    assert tiers.shed(Level.GRACEFUL, [("e", s) for s in "ABC"]) == {("e", "C")}
    assert tiers.shed(Level.AGGRESSIVE, [("e", s) for s in "ABC"]) == {("e", "A"), ("e", "C")}


def test_while_anything_is_shed_nobody_changes_tier() -> None:
    tiers = made(top_symbols=1, next_symbols=0)
    tiers.count(0.0, {("e", "A"): 5})
    tiers.freeze()
    rule = tiers.rule(Level.GRACEFUL)
    tiers.count(1.0, {("e", "B"): 500})
    tiers.freeze()
    assert (tiers.tier("e", "A"), tiers.tier("e", "B"), tiers.rule(Level.GRACEFUL)) == (1, 3, rule)
    tiers.thaw()
    tiers.freeze()
    assert (tiers.tier("e", "A"), tiers.tier("e", "B")) == (3, 1)
    assert tiers.rule(Level.GRACEFUL) != rule, "another ranking is another rule"
    assert tiers.rule(Level.AGGRESSIVE) != tiers.rule(Level.GRACEFUL)


def test_old_volume_is_forgotten() -> None:
    tiers = made(top_symbols=1, next_symbols=0, ranking_s=10)
    tiers.count(0.0, {("e", "A"): 500})
    for now in (11.0, 22.0, 33.0):
        tiers.count(now, {("e", "B"): 1})
    tiers.freeze()
    assert (tiers.tier("e", "A"), tiers.tier("e", "B")) == (3, 1)


@pytest.mark.parametrize(
    ("group", "limit"), [("268435456", 268_435_456), ("max", 500_000 * 1024), ("9223372036854771712", 500_000 * 1024)]
)
def test_the_memory_limit_is_the_groups_or_a_share_of_the_machines(tmp_path: Path, group: str, limit: int) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal:        1000000 kB\nMemFree: 1 kB\n")
    (tmp_path / "proc/self/statm").write_text("9999 25 1 1 0 1 0\n")
    (tmp_path / "sys/fs/cgroup/memory.max").write_text(group + "\n")
    memory = Memory(DegradationSettings.model_validate({}), tmp_path)
    assert memory.limit == limit
    assert memory.used() == 25 * memory._page
    assert memory.share() == pytest.approx(25 * memory._page / limit)


def test_a_setting_comes_before_both_and_no_system_is_no_level(tmp_path: Path) -> None:
    assert Memory(DegradationSettings.model_validate({"memory_limit_mb": 7}), tmp_path).limit == 7 << 20
    assert limit_of(tmp_path, 0.5) == 0
    assert Memory(DegradationSettings.model_validate({}), tmp_path).share() == 0.0
    assert Memory(DegradationSettings.model_validate({})).share() > 0
