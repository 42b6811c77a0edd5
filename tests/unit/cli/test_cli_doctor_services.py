"""`k2 doctor` over parts that are away, frozen or set up otherwise: told in time, each with what repairs it."""

from __future__ import annotations

import json
import pathlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import pytest

from k2core.cli.looking import Look, together
from k2core.cli.main import run
from k2core.clock import SystemClock
from k2core.errors import BrokerAwayError, ConfigError
from k2core.interfaces.checks import Finding

PLUGIN = pathlib.Path(__file__).parent / "planned_broker.py"
APPLY = f"k2 --plugin {PLUGIN} topics apply"
Doctor = Callable[[str], tuple[int, dict[str, dict[str, object]]]]


@pytest.fixture
def doctor(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Doctor:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("K2_API__PORT", "0")
    monkeypatch.setenv("K2_METRICS__ENABLED", "false")

    def call(state: str) -> tuple[int, dict[str, dict[str, object]]]:
        connector = '[connectors.binance]\nsymbols = ["BTCUSDT"]\n'
        (tmp_path / "k2.toml").write_text(f'{connector}[broker]\nuse = "planned"\nstate = "{state}"\n')
        code = run(["doctor", "--json", "--plugin", str(PLUGIN)])
        return code, {f["name"]: f for f in json.loads(capsys.readouterr().out)}

    return call


def test_missing_topics_are_one_finding_with_one_command(doctor: Doctor) -> None:
    code, found = doctor("well")
    assert (code, found["topic missing"]["repair"]) == (1, APPLY)
    assert found["planned"]["ok"]
    assert run(["topics", "apply", "--json", "--plugin", str(PLUGIN)]) == 0


def test_once_they_are_there_all_is_well(doctor: Doctor, capsys: pytest.CaptureFixture[str]) -> None:
    doctor("well")
    run(["topics", "apply", "--plugin", str(PLUGIN)])
    capsys.readouterr()
    code, found = doctor("well")
    assert [one for one in found.values() if not one["ok"]] == []
    assert code == 0
    assert {"topics", "history", "tables", "log"} <= set(found)


def test_a_setting_that_is_not_ours_is_told(doctor: Doctor, capsys: pytest.CaptureFixture[str]) -> None:
    doctor("well")
    run(["topics", "apply", "--plugin", str(PLUGIN)])
    capsys.readouterr()
    code, found = doctor("strange")
    (one,) = [f for name, f in found.items() if name.startswith("setting ")]
    assert (code, one["ok"], one["detail"], one["repair"]) == (1, False, "1, wanted: 2", APPLY)


def test_a_log_that_is_away_hides_nothing_else(doctor: Doctor) -> None:
    code, found = doctor("away")
    assert code == 1
    assert "connection refused" in str(found["log"]["detail"])
    assert (found["planned"]["ok"], found["tables"]["ok"]) == (False, True)
    assert "history" not in found


def test_a_log_that_is_frozen_is_left_behind(doctor: Doctor) -> None:
    began = time.monotonic()
    code, found = doctor("frozen")
    assert time.monotonic() - began < 20, "two seconds where the machine has nothing else to do"
    assert code == 1
    assert "no answer within" in str(found["log"]["detail"])
    assert (found["planned"]["detail"], found["tables"]["ok"]) == ("is frozen", True)
    assert "history" not in found


def never() -> Iterable[Finding]:
    threading.Event().wait()
    return ()


def test_who_waits_is_given_up_and_who_computes_is_not() -> None:
    def computes() -> Iterator[Finding]:
        until = time.thread_time() + 0.6
        while time.thread_time() < until:
            sum(range(1000))
        yield Finding("computed", True, "")

    began = time.monotonic()
    found = list(together([Look("frozen", never, "thaw it"), Look("busy", computes, "")], SystemClock(), 0.1))
    assert found == [Finding("frozen", False, "no answer within 0.1 s", "thaw it"), Finding("computed", True, "")]
    assert time.monotonic() - began > 0.5


def test_what_was_found_before_is_told() -> None:
    def half() -> Iterator[Finding]:
        yield Finding("first", True, "")
        threading.Event().wait()

    said = [(one.name, one.ok) for one in together([Look("half", half, "")], SystemClock(), 0.1)]
    assert said == [("first", True), ("half", False)]


@pytest.mark.parametrize("error", [BrokerAwayError("a"), ConfigError("b"), OSError("c"), ZeroDivisionError("d")])
def test_whatever_a_look_raises_is_a_finding(error: Exception) -> None:
    def fails() -> Iterable[Finding]:
        raise error

    (found,) = together([Look("part", fails, "mend it")], SystemClock(), 5)
    assert (found.name, found.ok, bool(found.repair)) == ("part", False, True)
    assert str(error) in found.detail


def test_what_makes_no_sense_without_another_is_left_out() -> None:
    bad = Look("bad", lambda: [Finding("bad", False, "")], "")
    after = Look("after", lambda: [Finding("after", True, "")], "", "bad")
    assert [one.name for one in together([bad, after], SystemClock(), 5)] == ["bad"]
    stuck = Look("bad", never, "")
    assert [one.name for one in together([stuck, after], SystemClock(), 0.1)] == ["bad"]
    good = Look("bad", lambda: [Finding("bad", True, "")], "")
    assert [one.name for one in together([good, after], SystemClock(), 5)] == ["bad", "after"]
