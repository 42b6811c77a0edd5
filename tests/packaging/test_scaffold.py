"""`k2 plugin new`: every kind passes its own lint, strict types and conformance suite unedited, and k2 finds it."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

from k2core import __version__
from k2core.errors import ConfigError
from k2core.scaffold.new import KINDS, checked, write

NAMES = ("bitstamp", "my-own-2nd-exchange-of-a-rather-long-nm")


def run(folder: pathlib.Path, *command: str) -> str:
    """Run a Python module in a project that is installed beside it; what it printed."""
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder.parent / "site"), os.environ.get("PYTHONPATH", "")]),
        "MYPYPATH": "src",
    }
    done = subprocess.run([sys.executable, "-m", *command], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
    return done.stdout


def installed(folder: pathlib.Path) -> pathlib.Path:
    """The project, built and installed into a folder of its own."""
    asked = ["uv", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--offline"]
    run(folder, *asked, "--python", sys.executable, "--target", str(folder.parent / "site"), str(folder))
    return folder


@pytest.fixture(scope="module")
def types(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What mypy learns of core and the libraries, once for all kinds."""
    return str(tmp_path_factory.mktemp("types"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_passes_everything_unedited(tmp_path: pathlib.Path, kind: str, types: str) -> None:
    name = NAMES[list(KINDS).index(kind) % 2]
    write(name, kind, tmp_path)
    folder = installed(tmp_path / f"k2-plugin-{name}")
    run(folder, "ruff", "check", "--no-cache")
    run(folder, "mypy", "--cache-dir", types)
    said = run(folder, "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly")
    assert " passed" in said
    assert "skipped" not in said
    found = json.loads(run(folder, "k2core.cli.main", "plugins", "--json"))
    mine = [(one["kind"], one["name"], one["state"]) for one in found if one["distribution"] == f"k2-plugin-{name}"]
    assert all(state == "ok" for _, _, state in mine)
    assert (kind, checked(name).snake if kind == "data-type" else name, "ok") in mine


def test_the_new_connector_captures_end_to_end(tmp_path: pathlib.Path) -> None:
    write("bitstamp", "connector", tmp_path)
    folder = installed(tmp_path / "k2-plugin-bitstamp")
    said = run(folder, "k2core.cli.main", "demo", "--exchange", "bitstamp", "--once")
    proof = json.loads(said.splitlines()[-1])
    assert (proof["trades_issued"], proof["missing"], proof["duplicates_stored"]) == (proof["trades_stored"], 0, 0)
    assert proof["trades_stored"] > 10_000


def test_what_is_there_is_not_touched(tmp_path: pathlib.Path) -> None:
    write("bitstamp", "sink", tmp_path)
    before = sorted(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    with pytest.raises(ConfigError, match="k2-plugin-bitstamp is there already"):
        write("bitstamp", "connector", tmp_path)
    assert sorted(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()) == before


@pytest.mark.parametrize(
    "name", ["", "Bitstamp", "2nd", "a_b", "a--b", "a-", "-a", "a/b", "../x", "k2-plugin-x", "a" * 41]
)
def test_a_name_that_is_none_is_refused_and_nothing_is_written(tmp_path: pathlib.Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"k2-plugin-|no name of a plugin"):
        write(name, "sink", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_template_is_left_in_what_is_written(tmp_path: pathlib.Path) -> None:
    for kind in KINDS:
        for path in write("bitstamp", kind, tmp_path / kind):
            text = path.read_text()
            assert "zebra" not in (text + str(path.relative_to(tmp_path))).lower(), path
            assert path.name != "pyproject.toml" or f'"k2core>={__version__}"' in text
