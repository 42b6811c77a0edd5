"""What strangers stumble over at the command line: each is told what is wrong, where, and what to do."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable

import pytest

from k2core.cli.asking import LeftOut, left_out
from k2core.cli.main import run
from k2core.cli.session import Session
from k2core.cli.terminal import readable_times
from k2core.cli.up import Address, remarks
from k2core.cli.view import View, numbers, wrapped
from k2core.clock import SystemClock
from k2core.telemetry.status import Status

Shown = Callable[..., tuple[int, str, str]]
OPEN = '[api]\nhost = "0.0.0.0"\nauth = false\n'
CAPTURE = '[connectors.binance]\nsymbols = ["btcusdt"]\n'


@pytest.fixture
def k2(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shown:
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(list(arguments))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


def test_an_open_api_is_refused_by_check_doctor_and_up_alike(k2: Shown) -> None:
    pathlib.Path("k2.toml").write_text(CAPTURE + OPEN)
    said = "host 0.0.0.0, which others can reach: remove auth = false, or listen on 127.0.0.1"
    code, _, err = k2("config", "check")
    assert (code, said in err) == (2, True)
    code, out, _ = k2("doctor", "--json")
    assert code == 1
    assert [f["ok"] for f in json.loads(out) if said in f["detail"]] == [False]
    code, _, err = k2("up")
    assert (code, said in err) == (2, True)


def test_notes_do_not_make_settings_invalid(k2: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K2_API_PORT", "1")
    pathlib.Path("k2.toml").write_text(CAPTURE)
    code, out, err = k2("config", "check")
    assert (code, "no mistake found" in out) == (0, True)
    assert err.count("note: ") == 2
    assert "did you mean K2_API__PORT?" in err
    assert "'btcusdt' is read as 'BTCUSDT'" in err
    code, out, err = k2("config", "check", "--json")
    assert (code, err, json.loads(out)["valid"], len(json.loads(out)["notes"])) == (0, "", True, 2)
    _, out, _ = k2("doctor", "--json")
    assert [f["ok"] for f in json.loads(out) if f["name"] == "settings note"] == [True, True]


def test_a_file_without_a_hook_is_an_error_where_it_is_named(k2: Shown) -> None:
    pathlib.Path("empty.py").write_text("x = 1")
    said = "--plugin empty.py: offers nothing: it has no hook"
    code, _, err = k2("lag", "--plugin", "empty.py")
    assert (code, said in err) == (3, True)
    code, _, err = k2("config", "check", "--plugin", "empty.py")
    assert (code, said in err) == (2, True)
    assert k2("plugins", "--plugin", "empty.py")[0] == 0


def test_a_typo_is_not_sent_to_the_package_index(k2: Shown) -> None:
    pathlib.Path("k2.toml").write_text('[connectors.binanse]\nsymbols = ["A"]\n')
    code, _, err = k2("up")
    assert (code, "did you mean 'binance'?" in err) == (2, True)
    _, out, _ = k2("doctor", "--json")
    (found,) = [f for f in json.loads(out) if f["name"] == "settings"]
    assert found["repair"].startswith("edit that file")


def test_the_setting_bounds_plugins_and_doctor_names_the_one_that_hangs(k2: Shown) -> None:
    pathlib.Path("k2.toml").write_text("[run]\nplugin_timeout_s = 0.5\n")
    pathlib.Path("slow.py").write_text("import time; time.sleep(60)")
    code, out, _ = k2("doctor", "--json", "--plugin", "slow.py")
    assert code == 1
    (found,) = [f for f in json.loads(out) if f["name"] == "plugin slow.py"]
    assert "did not end within 0.5 s (run.plugin_timeout_s) and was cut off" in found["detail"]


def test_a_plugin_that_misbehaves_is_named_by_doctor_and_up(k2: Shown) -> None:
    code = "import os\nfrom k2core.plugin import hookimpl\nos.chdir('/')\n@hookimpl\ndef k2_sinks():\n    return ()\n"
    pathlib.Path("rude.py").write_text(code)
    said = "changed the working directory while it was loaded; that was undone"
    code_, out, _ = k2("doctor", "--json", "--plugin", "rude.py")
    assert [(f["ok"], said in f["detail"]) for f in json.loads(out) if f["name"] == "plugin rude.py"] == [(True, True)]
    assert f"plugin rude.py {said}" in remarks(Session(plugin_files=[pathlib.Path("rude.py")]))
    assert code_ in (0, 1)


def ingest(**facts: object) -> dict[str, Status]:
    return {"ingest": Status("ingest", 1, 2, "running", facts={"binance": facts, "other": 3})}


def test_what_is_not_captured_is_told_once_and_shown_always() -> None:
    statuses = ingest(unknown_subscriptions=["XYZ trades"], refused_subscriptions={"ABC quotes": "no such stream"})
    said: list[str] = []
    telling = LeftOut(said.append)
    telling.tick({})
    telling.tick(statuses)
    telling.tick(statuses)
    assert said == [
        "NOT CAPTURED: binance XYZ trades: the exchange does not know it; correct `symbols` in k2.toml",
        "NOT CAPTURED: binance ABC quotes: no such stream; correct `symbols` in k2.toml",
    ]
    assert numbers(statuses).line.endswith("NOT CAPTURED binance XYZ trades, binance ABC quotes")
    assert left_out(ingest()) == {}


def test_no_figure_is_cut_at_80_columns() -> None:
    line = numbers(ingest(unknown_subscriptions=["XYZ trades"])).line
    shown = wrapped(line, 79)
    assert len(line) > 80
    assert all(len(part) < 80 for part in shown.splitlines())
    assert " · ".join(shown.splitlines()) == line
    assert wrapped("x" * 200, 79) == "x" * 79


def test_the_live_figures_are_wiped_whole(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    view = View(SystemClock())
    view.tick(ingest())
    lines = capsys.readouterr().err.count("\n") + 1
    assert lines > 1
    view.clear()
    assert capsys.readouterr().err == "\r\x1b[K" + "\x1b[1A\x1b[K" * (lines - 1)


def test_a_plugin_that_exists_is_not_replaced_by_a_new_one(k2: Shown, tmp_path: pathlib.Path) -> None:
    code, _, err = k2("plugin", "new", "binance", "--into", str(tmp_path))
    assert (code, "k2-plugin-binance exists already" in err) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_a_recording_is_either_checked_or_played(k2: Shown) -> None:
    code, _, err = k2("replay", "nowhere", "--check", "--serve")
    assert (code, "choose one" in err) == (2, True)


def test_a_folder_that_cannot_be_recorded_into_is_refused_at_once(k2: Shown, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "k2.toml").write_text('[connectors.binance]\nsymbols = ["BTCUSDT"]\n')
    code, _, err = k2("--config", str(tmp_path / "k2.toml"), "record", "--out", str(tmp_path / "file" / "x"))
    assert (code, "cannot be written" in err) == (2, True), err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n[conectors.binance]\nsymbols = []\n", "k2.toml:2: conectors: unknown section; did you mean 'connectors'?"),
        ("x = 1\n", "k2.toml:1: x: unknown section"),
        ("\n[api]\nprot = 1\n", "k2.toml:3: api.prot: unknown key; did you mean 'port'?"),
    ],
)
def test_a_mistake_is_told_with_its_line(k2: Shown, text: str, said: str) -> None:
    pathlib.Path("k2.toml").write_text(text)
    code, _, err = k2("config", "check")
    assert (code, said in err) == (2, True), err


def test_a_command_that_is_misspelt_is_told_the_right_one(k2: Shown) -> None:
    code, _, err = k2("lagg")
    assert (code, "no such command 'lagg'; did you mean 'lag'?" in err) == (2, True)
    assert "did you mean" not in k2("xyzzy")[2]


def test_what_is_given_with_set_is_not_blamed_on_the_file(k2: Shown) -> None:
    pathlib.Path("k2.toml").write_text(CAPTURE)
    code, _, err = k2("import", "rows.csv", "--set", "exchange=asx")
    assert (code, "k2.toml" in err, "command line: imports.files.asset_class" in err) == (2, False, True), err


def test_times_are_readable_in_tables_and_lengths_stay_numbers() -> None:
    headers = ["exchange_timestamp_ms", "log_timestamp", "latency_ms", "released_us", "rows"]
    rows = [[1_700_000_000_123, 1_700_000_000_123_456, 12, None, 3], [None, 1_700_000_000_000_000, 0, None, 4]]
    assert readable_times(headers, rows) == [
        ["2023-11-14T22:13:20.123Z", "2023-11-14T22:13:20.123456Z", 12, None, 3],
        [None, "2023-11-14T22:13:20.000000Z", 0, None, 4],
    ]


def test_up_says_where_the_api_is_once_it_answers() -> None:
    said: list[str] = []
    address = Address("::1", said.append)
    for state, port in (("starting", 8000), ("running", 8000), ("running", 8000), ("running", 8001)):
        address.tick({"serve": Status("serve", 1, 2, state, facts={"port": port})})
    address.tick({})
    assert said == ["API on http://[::1]:8000/v1", "API on http://[::1]:8001/v1"]


def test_a_place_where_no_file_can_be_is_to_be_set_otherwise(k2: Shown) -> None:
    pathlib.Path("k2.toml").write_text('[run]\npath = "/proc/none/run"\n')
    _, out, _ = k2("doctor", "--json")
    (found,) = [f for f in json.loads(out) if f["name"] == "path run.path"]
    assert (found["ok"], found["repair"]) == (False, "set run.path in k2.toml to another folder")
    assert not [f for f in json.loads(out) if f["name"] == "disk" and not f["ok"]]
