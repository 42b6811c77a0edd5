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
    assert (found["planned"]["ok"], found["tables"]["ok"]) == (False, True)
    assert [name for name, one in found.items() if not one["ok"]] == ["planned"], "one cause, one fault"
    assert found["log"]["detail"] == "not checked: mend planned first"
    assert (found["history"]["ok"], found["history"]["checked"]) == (True, False)


def test_a_log_that_is_frozen_is_left_behind(doctor: Doctor) -> None:
    began = time.monotonic()
    code, found = doctor("frozen")
    assert time.monotonic() - began < 60, "two seconds where the machine has nothing else to do"
    assert code == 1
    assert not found["log"]["checked"]
    assert (found["planned"]["detail"], found["tables"]["ok"]) == ("is frozen", True)
    assert not found["history"]["checked"]


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


def test_a_comparison_that_does_not_end_in_time_is_no_fault() -> None:
    slow = Look("history", never, "run k2 doctor again", may_miss=True)
    (found,) = together([slow], SystemClock(), 0.1)
    assert (found.ok, found.checked) == (True, False)
    assert found.detail == "not checked: no end within 0.1 s; run k2 doctor again"


@pytest.mark.parametrize("state", ["well", "frozen"])
def test_doctor_on_a_busy_system(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    doctor("well")
    run(["topics", "apply", "--plugin", str(PLUGIN)])
    capsys.readouterr()
    monkeypatch.setattr("k2core.cli.doctor_services.check_tables", lambda _: threading.Event().wait())
    code, found = doctor(state)
    assert code == (0 if state == "well" else 1)
    assert (found["history"]["ok"], found["history"]["checked"]) == (True, False)


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


def told(*looks: Look) -> list[tuple[str, bool, bool]]:
    return [(one.name, one.ok, one.checked) for one in together(looks, SystemClock(), 0.1)]


def test_what_makes_no_sense_without_another_is_not_looked_at() -> None:
    after = Look("after", lambda: [Finding("after", True, "")], "", "bad")
    for bad in (Look("bad", lambda: [Finding("bad", False, "")], ""), Look("bad", never, "")):
        assert told(bad, after) == [("bad", False, True), ("after", True, False)]
    good = Look("bad", lambda: [Finding("bad", True, "")], "")
    assert told(good, after) == [("bad", True, True), ("after", True, True)]


def away() -> Iterator[Finding]:
    raise BrokerAwayError("connection refused")
    yield


@pytest.mark.parametrize("needs", [never, away])
def test_one_cause_is_one_fault(needs: Callable[[], Iterable[Finding]]) -> None:
    upon = Look("upon", needs, "", upon="server")
    last = Look("last", list, "", "upon")
    down = Look("server", lambda: [Finding("server", False, "down")], "")
    assert told(down, upon, last) == [("server", False, True), ("upon", True, False), ("last", True, False)]
    found = list(together([down, upon, last], SystemClock(), 30))
    assert [one.detail for one in found[1:]] == ["not checked: mend server first"] * 2
    well = Look("server", lambda: [Finding("server", True, "")], "")
    assert told(well, upon)[1] == ("upon", False, True)


def test_another_fault_of_what_needs_a_part_that_is_down_is_told() -> None:
    down = Look("server", lambda: [Finding("server", False, "replicas")], "")
    upon = Look("upon", lambda: [Finding("topic", False, "16 partitions are wanted")], "", upon="server")
    assert told(down, upon) == [("server", False, True), ("topic", False, True)]
