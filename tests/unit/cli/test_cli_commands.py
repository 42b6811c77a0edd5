"""The command line in process: options anywhere, one line on stderr, exit codes, JSON, plugins' commands."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable

import click
import pytest

from k2core.cli.main import COMMANDS, cli, exit_code, run
from k2core.cli.schema import schema_files
from k2core.discovery import discover
from k2core.errors import BrokerError, ConfigError, FencedError, LogVersionError, PluginError, QueryError

ROOT = pathlib.Path(__file__).resolve().parents[3]
PLUGIN = """
import click
from k2core.errors import FencedError, QueryError
from k2core.plugin import hookimpl

@click.command()
@click.option("--how")
def fail(how):
    if how == "fenced":
        raise FencedError("b took over", frozenset())
    if how == "query":
        raise QueryError("too\\nmany\\nlines")
    if how == "group":
        raise BaseExceptionGroup("g", [ExceptionGroup("h", [ValueError("x"), FencedError("c took over", frozenset())])])
    raise RuntimeError("a bug")

@click.command()
def plugins():
    raise AssertionError("core's name was taken")

@hookimpl
def k2_commands():
    return [fail, plugins]
"""
Shown = Callable[..., tuple[int, str, str]]


@pytest.fixture
def k2(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shown:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "extra.py").write_text(PLUGIN)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(list(arguments))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


def test_every_command_can_be_imported_and_has_help(k2: Shown) -> None:
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.help
    code, out, _ = k2("--help")
    assert code == 0
    assert all(name in out for name in COMMANDS)


@pytest.mark.parametrize("order", [["--config", "c.toml", "config", "show"], ["config", "show", "--config", "c.toml"],
                                   ["config", "--config", "c.toml", "show"], ["config", "show", "--config=c.toml"]])  # fmt: skip
def test_options_stand_before_or_after(k2: Shown, order: list[str]) -> None:
    pathlib.Path("c.toml").write_text("[api]\nport = 1234\n")
    code, out, _ = k2(*order, "--json")
    assert code == 0
    assert {"key": "api.port", "value": 1234, "origin": "c.toml"} in json.loads(out)


def test_plugins_lists_everything_and_always_exits_0(k2: Shown) -> None:
    pathlib.Path("broken.py").write_text("raise RuntimeError('boom')")
    code, out, _ = k2("plugins", "--json", "--plugin", "broken.py", "--plugin", "extra.py")
    rows = {(r["kind"], r["name"]): r for r in json.loads(out)}
    assert code == 0
    assert list(rows["data-type", "trades"]) == ["kind", "name", "distribution", "version", "state", "error"]
    assert rows["plugin", "broken"]["error"] == "cannot be imported: RuntimeError: boom"
    assert rows["command", "fail"]["state"] == "ok"
    assert "has the name of a built-in command" in rows["command", "plugins"]["error"]


def test_a_broken_file_plugin_stops_the_command_that_names_it(k2: Shown) -> None:
    pathlib.Path("broken.py").write_text("raise RuntimeError('boom')")
    code, _, err = k2("lag", "--plugin", "broken.py")
    assert (code, err) == (3, "error: --plugin broken.py: cannot be imported: RuntimeError: boom\n")


@pytest.mark.parametrize(("how", "code", "line"), [
    ("fenced", 4, "error: b took over\n"),
    ("query", 2, "error: too many lines\n"),
    ("group", 4, "error: c took over\n"),
    ("bug", 1, "error: RuntimeError: a bug\n"),
])  # fmt: skip
def test_errors_are_one_line_and_a_code(k2: Shown, how: str, code: int, line: str) -> None:
    assert k2("--plugin", "extra.py", "fail", "--how", how) == (code, "", line)


def test_a_traceback_is_shown_at_debug_only(k2: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K2_RUN__LOG_LEVEL", "DEBUG")
    code, _, err = k2("fail", "--plugin", "extra.py")
    assert code == 1
    assert "Traceback" in err
    assert err.splitlines()[-1] == "error: RuntimeError: a bug"


def test_exit_codes() -> None:
    errors = {
        ConfigError("x"): 2,
        PluginError("x"): 3,
        FencedError("x", frozenset()): 4,
        LogVersionError("x"): 2,
        BrokerError("x"): 1,
        QueryError("x"): 2,
    }
    assert exit_code(QueryError("x", status=503)) == 1
    assert {type(e): exit_code(e) for e in errors} == {type(e): code for e, code in errors.items()}


def test_usage_is_2_and_one_line(k2: Shown) -> None:
    for arguments in (["nonsense"], ["plugins", "--nonsense"], ["schema", "export"]):
        code, out, err = k2(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)


def test_config_check_lists_every_mistake(k2: Shown) -> None:
    pathlib.Path("k2.toml").write_text(
        '[connectors.binance]\nsymbol = ["A"]\nsymbols = ["A"]\n[sinks.lake]\nuse = "zz"\n'
    )
    code, out, err = k2("config", "check", "--json")
    assert code == 2
    assert err == ""
    report = json.loads(out)
    assert report["valid"] is False
    assert len(report["problems"]) == 2
    pathlib.Path("k2.toml").write_text("[api]\nprt = 1\n")
    code, out, err = k2("config", "check")
    assert (code, out, err) == (2, "", "k2.toml:2: api.prt: unknown key; did you mean 'port'?\n")


def test_three_lines_of_settings_are_valid(k2: Shown) -> None:
    pathlib.Path("k2.toml").write_text('[connectors.binance]\nsymbols = ["BTCUSDT"]\n')
    code, out, err = k2("config", "check")
    assert (code, err) == (0, "")
    assert "no mistake found" in out


def test_schema_export_writes_and_checks(k2: Shown) -> None:
    assert k2("schema", "export", "--check", "out")[0] == 1
    assert k2("schema", "export", "out")[0] == 0
    assert k2("schema", "export", "--check", "out") == (0, "", "")
    pathlib.Path("out/trades/v1.avsc").write_text("{}")
    code, _, err = k2("schema", "export", "out", "--check")
    assert code == 1
    assert "v1.avsc is stale: run `k2 schema export out`" in err


def test_schemas_of_the_repository_are_what_the_code_says() -> None:
    wanted = schema_files(discover())
    found = {str(p.relative_to(ROOT / "schemas")): p.read_text() for p in (ROOT / "schemas").rglob("*.avsc")}
    assert found == wanted, "run `nox -s generate`"


def test_the_configuration_reference_is_what_the_code_says() -> None:
    from k2core.config.reference import markdown

    page = ROOT / "docs" / "configuration.md"
    assert page.read_text() == markdown(discover()), "run `nox -s generate`"
