"""The first tutorial and the README: what they show can be run without the net, and what they name exists."""

from __future__ import annotations

import pathlib
import re
import tomllib

import pytest

from tests.docs.pages import DOCS, ROOT, Block, blocks
from tests.docs.shell import Shell

pytestmark = [pytest.mark.xdist_group("docs-tutorial.md"), pytest.mark.timeout(900)]  # one test runs the tutorial

TUTORIAL = [b for b in blocks(DOCS / "tutorial.md") if b.run]
README = blocks(ROOT / "README.md")


def test_the_tutorial_is_what_is_run() -> None:
    assert sum(len(b.commands) for b in TUTORIAL if b.language == "console") > 25
    assert sum(b.language == "python" for b in TUTORIAL) == 3


@pytest.mark.parametrize("block", [b for b in README if b.language == "toml"], ids=lambda b: f"line {b.line}")
def test_settings_that_the_readme_shows_are_right(tmp_path: pathlib.Path, block: Block) -> None:
    (tmp_path / "k2.toml").write_text(block.text)
    with Shell(tmp_path) as shell:
        code, out = shell.run("k2 config check")
    assert (code, "no mistake found" in out) == (0, True), out


def test_the_readme_reads_the_table(ran) -> None:
    (block,) = (b for b in README if b.language == "python")
    with Shell(ran("tutorial.md").folder / "tutorial") as shell:
        code, out = shell.python(block.text)
    assert code == 0, out


def test_commands_that_the_readme_names_exist(tmp_path: pathlib.Path) -> None:
    text = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    commands = {c for c in re.findall(r"`k2 ([a-z][a-z ]*[a-z])", text) if c.split()[0] != "core"}
    assert commands
    with Shell(tmp_path) as shell:
        for command in sorted(commands):
            assert shell.run(f"k2 {command} --help")[0] == 0, command


def test_sessions_that_the_readme_names_exist() -> None:
    text = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    defined = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:noxfile\.py|nox) -s (\w+)", text))
    assert named
    assert named <= defined


def test_distributions_that_the_readme_installs_exist() -> None:
    projects = [ROOT / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")]
    ours = {tomllib.loads(p.read_text())["project"]["name"] for p in projects}
    (line,) = (x for b in README for x in b.text.splitlines() if x.startswith("pip install "))
    assert set(line.split()[2:]) <= ours
