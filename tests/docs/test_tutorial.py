"""Every command and Python block of `docs/tutorial.md`, run in order; every README block that can run without the net."""

from __future__ import annotations

import pathlib
import re
import tomllib

import pytest

from tests.docs.pages import DOCS, ROOT, Block, blocks, missing, shown
from tests.docs.shell import Shell

pytestmark = [pytest.mark.xdist_group("docs"), pytest.mark.timeout(900)]  # the first test runs all of the tutorial

TUTORIAL = [b for b in blocks(DOCS / "tutorial.md") if b.run and b.language in ("console", "python")]
README = blocks(ROOT / "README.md")


@pytest.mark.parametrize("block", TUTORIAL, ids=lambda b: f"line {b.line}")
def test_a_block_of_the_tutorial_works(tutorial, block: Block) -> None:
    assert tutorial.results[block.line] is None, tutorial.results[block.line]


def test_the_tutorial_is_what_is_run() -> None:
    assert sum(len(b.commands) for b in TUTORIAL if b.language == "console") > 25
    assert sum(b.language == "python" for b in TUTORIAL) == 3


def test_shown_output_is_compared_word_by_word() -> None:
    assert shown("1 dead letter").search("  1 dead letter")
    assert shown('{"count": "trades": [{…').search('{"count": 3, "trades": [{"symbol"')
    assert missing(["symbol price"], "symbol  exchange  price\n") is None
    assert missing(["symbol price"], "price  symbol\n") == "symbol price"
    assert missing(["quotes market.quotes"], "quotes  market.trades\n") is not None


def test_a_renamed_command_would_be_noticed(tmp_path: pathlib.Path) -> None:
    with Shell(tmp_path) as shell:
        assert shell.run("k2 querry trades")[0] == 2


@pytest.mark.parametrize("block", [b for b in [*README, *blocks(DOCS / "tutorial.md")] if b.language == "toml"],
                         ids=lambda b: f"{b.page} line {b.line}")  # fmt: skip
def test_settings_that_are_shown_are_right(tmp_path: pathlib.Path, block: Block) -> None:
    (tmp_path / "k2.toml").write_text(block.text)
    with Shell(tmp_path) as shell:
        code, out = shell.run("k2 config check")
    assert (code, "no mistake found" in out) == (0, True), out


def test_the_readme_reads_the_table(tutorial) -> None:
    (block,) = (b for b in README if b.language == "python")
    with Shell(tutorial.folder / "tutorial") as shell:
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


PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(DOCS.rglob("*.md")),
    *sorted(ROOT.glob("plugins/*/*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: pathlib.Path) -> None:
    targets = [t for t in re.findall(r"\]\(([^)#\s]+)", page.read_text()) if "://" not in t]
    assert [t for t in targets if not (page.parent / t).exists()] == []


def test_the_index_names_every_page() -> None:
    index = (DOCS / "README.md").read_text()
    pages = [p.relative_to(DOCS) for p in DOCS.rglob("*.md") if p.name != "README.md"]
    assert [str(p) for p in pages if f"({p})" not in index] == []
