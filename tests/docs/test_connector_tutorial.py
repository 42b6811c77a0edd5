"""`docs/connector-tutorial.md` makes the package under `docs/examples`, which is small, typed in style, and installed and run.

The page's own blocks (`test_pages.py`) install that package with its entry points, run its suites and its demo.
"""

from __future__ import annotations

import difflib
import pathlib
import subprocess
import sys
import tomllib

import pytest

from tests.docs.build_example import EXAMPLE, PROJECT, build, start

MOST = 120
AGAIN = "run `python -m tests.docs.build_example`, and look at what it changed"


def files(project: pathlib.Path) -> dict[str, str]:
    """The text of each of a project's files; what running it left is none of them."""
    found = (p for p in project.rglob("*") if p.is_file())
    left = {"__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache"}
    return {str(p.relative_to(project)): p.read_text() for p in found if not left & set(p.parts)}


def own_lines(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Lines in `src` that the author wrote: those that the scaffold did not; blank ones aside, comments counted."""
    return [
        line
        for name, text in after.items()
        if name.startswith("src/")
        for line in difflib.unified_diff(before.get(name, "").splitlines(), text.splitlines(), n=0, lineterm="")
        if line.startswith("+") and not line.startswith("+++") and line[1:].strip()
    ]


def test_the_page_makes_the_package_that_is_kept(tmp_path: pathlib.Path) -> None:
    made, kept = files(build(tmp_path)), files(EXAMPLE)
    assert sorted(made) == sorted(kept), AGAIN
    assert [name for name in made if made[name] != kept[name]] == [], AGAIN


@pytest.mark.timeout(900)
@pytest.mark.xdist_group("docs-connector-tutorial.md")
def test_whoever_types_the_page_ends_up_with_that_package(ran) -> None:
    assert files(ran("connector-tutorial.md").folder / PROJECT) == files(EXAMPLE)


def test_the_author_wrote_fewer_lines_than_promised(tmp_path: pathlib.Path) -> None:
    own = own_lines(files(start(tmp_path)), files(EXAMPLE))
    assert 60 < len(own) < MOST, f"{len(own)} lines"


def test_a_line_that_is_added_is_counted() -> None:
    assert own_lines({"src/a.py": "x\n"}, {"src/a.py": "x\n\ny\n", "src/b.py": "z\n", "tests/c.py": "w\n"}) == [
        "+y",
        "+z",
    ]


def test_the_package_keeps_its_own_style() -> None:
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "."], cwd=EXAMPLE, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_offers_what_the_page_says() -> None:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == {"k2.plugins": {"bitstamp": "k2_plugin_bitstamp"}}
    assert {need.partition(">")[0] for need in project["dependencies"]} == {"k2core", "msgspec", "pydantic"}
