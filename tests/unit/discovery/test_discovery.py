"""Discovery: bad plugins are reported with their provenance and stop nothing that does not name them."""

from __future__ import annotations

import pathlib

import pytest

from k2core.discovery import Entry, Registry, discover
from k2core.errors import PluginError
from tests.unit.discovery.plugin_site import GOOD_SINK, HEAD, OTHER, Find, Install


def only(registry: Registry, kind: str) -> Entry:
    (entry,) = [e for e in registry.entries if e.kind == kind]
    return entry


def test_a_component_is_found_with_its_provenance(install: Install, find: Find) -> None:
    install("k2-plugin-box", GOOD_SINK)
    entry = find().find("sink", "box")
    assert (entry.provenance, entry.state, entry.component.name) == ("k2-plugin-box 1.2", "ok", "box")


BAD = {
    "raises at import": ("raise RuntimeError('boom')", "cannot be imported: RuntimeError: boom"),
    "exits at import": ("raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
    "needs what is absent": ("import not_there_at_all", "No module named 'not_there_at_all'"),
    "raises in a hook": ("@hookimpl\ndef k2_brokers():\n    raise KeyError('inside')", "k2_brokers raised KeyError"),
    "raises while yielding": ("@hookimpl\ndef k2_brokers():\n    yield make('a')\n    1 / 0", "ZeroDivisionError"),
    "returns no iterable": ("@hookimpl\ndef k2_brokers():\n    return 7", "returned int, not an iterable of Component"),
    "is a coroutine": ("@hookimpl\nasync def k2_brokers():\n    return ()", "returned coroutine"),
    "mistypes a hook": (
        "@hookimpl\ndef k2_conectors():\n    return ()",
        "unknown hook 'k2_conectors'; did you mean 'k2_connectors'?",
    ),
    "takes an argument": ("@hookimpl\ndef k2_brokers(config):\n    return ()", "its hooks are refused"),
    "forgets the mark": ("def k2_brokers():\n    return ()", "k2_brokers is not marked with @hookimpl"),
}


@pytest.mark.parametrize(("code", "said"), BAD.values(), ids=BAD.keys())
def test_a_bad_plugin_is_named_and_its_neighbour_lives(code: str, said: str, install: Install, find: Find) -> None:
    install("k2-plugin-bad", code, "9.9")
    install("k2-plugin-box", GOOD_SINK)
    registry = find()
    bad = only(registry, "plugin")
    assert said in bad.error
    assert (bad.provenance, bad.state) == ("k2-plugin-bad 9.9", "broken")
    assert registry.find("sink", "box").state == "ok"


WRONG = {
    "sink": [("'x'", "must be a Component, not str"), ("make('Upper')", "is not of the form"), ("make(3)", "name 3")],
    "connector": [("make('a')", "capabilities must be a ConnectorFacts")],
    "command": [("print", "must be a click.Command")],
    "data_type": [("make('a')", "must be a DataType, not Component")],
    "dedup_store": [
        ("Component(name='a', summary='', settings=dict, factory=print)", "subclass of k2core.plugin.Settings"),
        ("Component(name='a', summary='', settings=S, factory=None)", "its factory cannot be called"),
    ],
}


@pytest.mark.parametrize(("hook", "made", "said"), [(h, m, s) for h, cases in WRONG.items() for m, s in cases])
def test_what_hooks_return_is_checked(hook: str, made: str, said: str, install: Install, find: Find) -> None:
    install("k2-plugin-bad", f"@hookimpl\ndef k2_{hook}s():\n    return [{made}]\n" + OTHER)
    registry = find()
    (bad,) = registry.broken
    assert said in bad.error
    assert bad.kind == hook.replace("_", "-")
    assert registry.find("broker", "mine").state == "ok"


def test_a_hook_that_works_survives_a_misspelt_one_beside_it(install: Install, find: Find) -> None:
    install("k2-plugin-box", GOOD_SINK + "@hookimpl\ndef k2_sink():\n    return ()")
    registry = find()
    assert registry.find("sink", "box").state == "ok"
    assert "did you mean 'k2_sinks'" in only(registry, "plugin").error


def test_a_clash_names_both_and_stops_only_who_names_it(install: Install, find: Find) -> None:
    install("k2-plugin-one", GOOD_SINK + OTHER)
    install("k2-plugin-two", GOOD_SINK, "2.0")
    registry = find()
    assert registry.find("broker", "mine").state == "ok"
    with pytest.raises(PluginError, match=r"k2-plugin-one 1\.2 and k2-plugin-two 2\.0; uninstall all but one"):
        registry.find("sink", "box")
    assert [e.state for e in registry.entries if e.kind == "sink"] == ["clash", "clash"]


def test_a_broken_one_does_not_clash_with_the_valid_one(install: Install, find: Find) -> None:
    install("k2-plugin-one", GOOD_SINK)
    install(
        "k2-plugin-two",
        "@hookimpl\ndef k2_sinks():\n    return [Component(name='box', summary='', settings=1, factory=1)]",
    )
    assert find().find("sink", "box").distribution == "k2-plugin-one"


def test_core_keeps_its_own_names(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "thief.py"
    file.write_text(
        HEAD + "@hookimpl\ndef k2_data_types():\n    return [DataType(name='trades', summary='', record_name='X',"
        " versions=1, columns=())]"
    )
    registry = discover(files=[file])
    assert registry.find("data-type", "trades").distribution == "k2core"
    assert [e.distribution for e in registry.broken if e.name == "trades"] == ["thief.py"]


def test_what_is_missing_is_explained() -> None:
    empty = Registry([])
    with pytest.raises(
        PluginError, match="there is no sink 'lake'; if a plugin offers it, try `pip install k2-plugin-lake`"
    ):
        empty.find("sink", "lake")
    broken = Entry(kind="plugin", name="lake", distribution="k2-plugin-lake", version="3", state="broken", error="boom")
    with pytest.raises(PluginError, match="'lake' is not available: k2-plugin-lake 3 is broken: boom"):
        Registry([broken]).find("sink", "lake")
    near = Entry(kind="sink", name="iceberg", distribution="d", version="1", component=object())
    with pytest.raises(PluginError, match="did you mean 'iceberg'"):
        Registry([near]).find("sink", "icberg")


def test_one_file_plugins(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "my_exchange.py"
    file.write_text(HEAD + GOOD_SINK)
    registry = discover(installed=(), files=[file, tmp_path / "absent.py"])
    assert registry.find("sink", "box").distribution == "my_exchange.py"
    assert "no such file" in only(registry, "plugin").error


def test_prints_go_to_stderr(tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "loud.py"
    file.write_text("import os\nprint('loud one')\nos.system('echo loud two')\n" + HEAD + GOOD_SINK)
    assert discover(installed=(), files=[file]).find("sink", "box").state == "ok"
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "loud two" in shown.err
