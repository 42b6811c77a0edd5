"""`k2 topics plan|apply`, and that nothing else makes topics where the log does not make them by itself."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from collections.abc import Callable

import pytest

from k2core.broker.specs import topic_spec
from k2core.cli.main import run
from k2core.cli.topics import needed_topics
from k2core.config import load_config
from k2core.config.build import Assembly
from k2core.discovery import discover
from k2core.records.builtin import TRADES
from k2core.records.topics import Topic

PLUGIN = pathlib.Path(__file__).parent / "planned_broker.py"
CAPTURE = '[connectors.binance]\nsymbols = ["BTCUSDT"]\ndata_types = ["trades"]\nwebsocket_url = "ws://127.0.0.1:1"\n'
TRADES_TOPIC, LETTERS = "market.crypto.trades.binance", "market.crypto.dead_letters.binance"
Shown = Callable[..., tuple[int, str, str]]


@pytest.fixture
def k2(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shown:
    monkeypatch.chdir(tmp_path)
    for name in ("K2_CONFIG", "K2_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("K2_API__PORT", "0")
    monkeypatch.setenv("K2_METRICS__ENABLED", "false")
    settings('use = "planned"')

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run([*arguments, "--plugin", str(PLUGIN)])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


def settings(broker: str) -> None:
    pathlib.Path("k2.toml").write_text(f"{CAPTURE}[broker]\n{broker}\n[writer]\nstalled_s = 5\n")


def assembly() -> Assembly:
    return Assembly(load_config(pathlib.Path("k2.toml"), env={}), discover(files=[PLUGIN]))


def names() -> set[str]:
    with assembly().broker() as log:
        return set(log.topics())


def test_plan_shows_what_is_missing_and_makes_nothing(k2: Shown) -> None:
    code, out, err = k2("topics", "plan")
    assert code == 1, err
    assert TRADES_TOPIC in out
    assert LETTERS in out
    assert f"`k2 --plugin {PLUGIN} topics apply` does this" in err
    assert names() == set()


def test_apply_makes_it_and_again_does_nothing(k2: Shown) -> None:
    code, out, err = k2("topics", "apply", "--json")
    assert code == 0, err
    assert {TRADES_TOPIC, LETTERS} <= {change["name"] for change in json.loads(out)}
    assert all(change["have"] == "" and change["refused"] == "" for change in json.loads(out))
    with assembly().broker() as log:
        assert {t.name for t in needed_topics(assembly(), log)} == names()
    for command in ("plan", "apply"):
        assert json.loads(k2("topics", command, "--json")[1]) == []
        code, out, _ = k2("topics", command)
        assert (code, "nothing to do" in out) == (0, True)


def test_a_topic_that_the_settings_do_not_name_is_made_by_name(k2: Shown) -> None:
    code, _, err = k2("topics", "apply", "market.equities.trades.asx")
    assert (code, "all of this was done" in err) == (0, True)
    assert {"market.equities.trades.asx", "market.equities.dead_letters.asx"} <= names()
    code, _, err = k2("topics", "plan", "market.equities.nothing.asx")
    assert (code, "no data type 'nothing'" in err) == (2, True)
    assert k2("topics", "plan", "asx")[0] == 2


def test_what_cannot_be_done_is_refused_whole(k2: Shown) -> None:
    with assembly().broker() as log:
        log.ensure_topics([topic_spec(Topic.parse(TRADES_TOPIC), TRADES, partitions=4)])
    for command in ("plan", "apply"):
        code, out, err = k2("topics", command, "--json")
        assert code == 1
        assert [change["have"] for change in json.loads(out) if change["refused"]] == ["4 partitions"]
        assert command == "plan" or f"topic {TRADES_TOPIC}: topic {TRADES_TOPIC} has 4 partitions" in err
    assert names() == {TRADES_TOPIC}, "nothing is done where one thing cannot be"


def test_a_change_that_does_not_last_is_no_success(k2: Shown) -> None:
    settings('use = "planned"\nstate = "strange"')
    assert k2("topics", "apply")[0] == 1
    code, _, err = k2("topics", "apply")
    assert (code, "did not last" in err, "retention.ms is 1, wanted: 2" in err) == (1, True, True)


def test_the_embedded_log_needs_nothing(k2: Shown, tmp_path: pathlib.Path) -> None:
    settings('use = "embedded"')
    for command in ("plan", "apply"):
        code, out, err = k2("topics", command)
        assert (code, "nothing to do" in out, err) == (0, True, "")
        assert json.loads(k2("topics", command, "--json")[1]) == []
    assert [path.name for path in tmp_path.iterdir()] == ["k2.toml"]


def test_the_embedded_log_tells_what_it_would_refuse(k2: Shown) -> None:
    settings('use = "embedded"')
    with assembly().broker() as log:
        log.ensure_topics([topic_spec(Topic.parse(TRADES_TOPIC), TRADES, partitions=4)])
    assert k2("topics", "plan")[0] == k2("topics", "apply")[0] == 1


ROWS = "Code,Price,Volume,t\nBHP,1.5,2,2025-01-01T00:00:00Z\n"
GIVEN = (
    "exchange=asx", "asset_class=equities", "data_type=trades", 'columns={"symbol":"Code","price":"Price","quantity":"Volume"}',
    "time.columns=t", "time.format=iso",
)  # fmt: skip
IMPORT = ("import", "rows.csv", *(part for text in GIVEN for part in ("--set", text)))


@pytest.mark.parametrize("command", [("ingest",), ("write", "--once"), ("write",), ("serve",), ("up",)])
def test_nothing_on_the_data_path_makes_topics(k2: Shown, command: tuple[str, ...], tmp_path: pathlib.Path) -> None:
    code, _, err = k2(*command)
    assert code == 3, err
    assert f"run `k2 --plugin {PLUGIN} topics apply` first" in err.splitlines()[-1]
    assert names() == set()
    settings_file = str(tmp_path / "k2.toml")
    _, _, err = k2(*command, "--config", settings_file)
    assert f"run `k2 --config {settings_file} --plugin {PLUGIN} topics apply` first" in err.splitlines()[-1]


def test_an_import_names_the_topics_that_no_settings_name(k2: Shown) -> None:
    pathlib.Path("rows.csv").write_text(ROWS)
    code, _, err = k2(*IMPORT)
    assert code == 3, err
    wanted = "topics apply market.equities.trades.asx market.equities.dead_letters.asx"
    assert wanted in err
    assert k2(*wanted.split())[0] == 0
    code, _, err = k2(*IMPORT)
    assert code == 0, err


def test_once_topics_are_there_everything_works(k2: Shown) -> None:
    assert k2("topics", "apply")[0] == 0
    before = names()
    code, _, err = k2("write", "--once")
    assert code == 0, err
    assert names() == before


@pytest.mark.parametrize(
    "command",
    [("topics", "plan"), ("topics", "apply"), ("lag",), ("ingest",), ("write",), ("serve",), ("up",), ("dlq",),
     ("query", "trades"), ("consumers", "list"), ("schema", "check")],
)  # fmt: skip
def test_a_log_that_is_away_ends_every_command_with_3_and_one_line(k2: Shown, command: tuple[str, ...]) -> None:
    settings('use = "planned"\nstate = "away"')
    code, _, err = k2(*command)
    assert (code, err.splitlines()[-1]) == (3, "error: planned at nowhere: connection refused")


BY_TIME = """
from k2core.broker.embedded import EmbeddedBroker
from k2core.broker.settings import EmbeddedSettings
from k2core.plugin import Broker, Component, hookimpl
class ByTime(EmbeddedBroker):
    consumers = Broker.consumers
@hookimpl
def k2_brokers():
    make = lambda settings, context: ByTime(settings, context.clock, context.logger)
    return [Component(name="bytime", summary="for tests", settings=EmbeddedSettings, factory=make)]
"""


def test_a_log_that_keeps_nothing_for_consumers_says_so(k2: Shown) -> None:
    pathlib.Path("bytime.py").write_text(BY_TIME)
    settings('use = "bytime"')
    with Assembly(load_config(pathlib.Path("k2.toml"), env={}), discover(files=[pathlib.Path("bytime.py")])).broker():
        pass
    code, out, _ = k2("consumers", "list", "--plugin", "bytime.py")
    assert code == 0
    assert out == "this log keeps records by time, not for named consumers; `k2 lag` tells how far writers are\n"
    assert k2("consumers", "list", "--json", "--plugin", "bytime.py")[1] == "[]\n"


def test_a_thread_and_a_print_of_a_plugin_spoil_nothing(tmp_path: pathlib.Path) -> None:
    (tmp_path / "rude.py").write_text(
        "import atexit, threading\nfrom k2core.plugin import hookimpl\natexit.register(print, 'bye')\n"
        "threading.Thread(target=threading.Event().wait, name='stuck').start()\n"
        "@hookimpl\ndef k2_sinks():\n    return ()\n"
    )
    command = [sys.executable, "-m", "k2core.cli.main", "plugins", "--json", "--plugin", "rude.py"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)
    assert "not waited for threads that a plugin left behind: stuck" in ran.stderr
    (tmp_path / "rude.py").write_text(
        "import atexit\nfrom k2core.plugin import hookimpl\natexit.register(print, 'bye')\n"
        "@hookimpl\ndef k2_sinks():\n    return ()\n"
    )
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert json.loads(ran.stdout)
    assert (ran.returncode, ran.stderr) == (0, "bye\n")
