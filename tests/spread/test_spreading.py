"""Groups stay on one worker, longest first: with this repository's settings and the arguments of `nox -s tests`."""

from __future__ import annotations

import ast
import collections
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.spread.seconds import SECONDS

ROOT = Path(__file__).resolve().parents[2]
NOTE = """
import os, pathlib, pytest, time
def note(name):
    with open({log!r}, "a") as log:
        log.write(name + " " + os.environ["PYTEST_XDIST_WORKER"] + "\\n")
    time.sleep(0.05)
"""
GROUPED = """
pytestmark = [pytest.mark.timeout(200), pytest.mark.xdist_group("{group}")]
@pytest.mark.parametrize("n", range(4))
def test_grouped(n):
    note("{group}")
"""
SHARING = """
@pytest.fixture(scope="module", autouse=True)
def start():
    note("start")
@pytest.mark.parametrize("n", range(4))
def test_sharing(n):
    note("sharing")
"""
ALONE = """
@pytest.mark.parametrize("n", range({count}))
def test_alone(n):
    note("alone")
"""


def asked() -> list[str]:
    """What `nox -s tests` gives pytest, as it stands in the noxfile."""
    for node in ast.parse((ROOT / "noxfile.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EVERY_TEST":
            return list(ast.literal_eval(node.value))
    raise AssertionError("the noxfile has no EVERY_TEST")


def ran(folder: Path, modules: dict[str, str], *options: str) -> list[tuple[str, str]]:
    """What ran and on which worker, in a repository with our settings and these modules."""
    (folder / "tests").mkdir()
    (folder / "plugins").mkdir()
    for name in ("pyproject.toml", "conftest.py"):
        shutil.copy(ROOT / name, folder)
    for name, text in modules.items():
        (folder / "tests" / f"test_{name}.py").write_text(NOTE.format(log=str(folder / "log")) + text)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "K2_"))} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", *asked(), "-p", "no:cacheprovider", *options]
    done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    first, *rest = (line.split() for line in (folder / "log").read_text().splitlines())
    return [(name, worker) for name, worker in (first, *rest)]


def test_a_group_stays_on_one_worker_while_the_other_works(tmp_path: Path) -> None:
    first, second = GROUPED.format(group="one"), GROUPED.format(group="one").replace("test_grouped", "test_again")
    modules = {"a": first, "b": ALONE.format(count=8), "c": second, "d": GROUPED.format(group="two"), "e": SHARING}
    workers = collections.defaultdict(set)
    seen = ran(tmp_path, modules)
    for name, worker in seen:
        workers[name].add(worker)
    counted = collections.Counter(name for name, _ in seen)
    assert counted == {"one": 8, "two": 4, "alone": 8, "start": 1, "sharing": 4}, "every test once, and one start"
    assert [len(workers[name]) for name in ("one", "two", "start", "sharing")] == [1, 1, 1, 1], workers
    assert set.union(*workers.values()) == {"gw0", "gw1"}, "two workers had work"


def test_the_longest_go_first(tmp_path: Path) -> None:
    longest = [name for name in SECONDS if "/" not in name][:2]
    modules = {"a": ALONE.format(count=6), "b": GROUPED.format(group=longest[1]), "c": GROUPED.format(group=longest[0])}
    seen = ran(tmp_path, modules)
    first = {worker: name for name, worker in reversed(seen)}
    assert set(first.values()) == set(longest), (
        "each worker begins with a long one, however long the other takes to start"
    )


def test_the_units_that_are_said_to_be_long_are_there() -> None:
    """A name that no test has any more would let a long unit begin last."""
    texts = {p: p.read_text() for folder in ("tests", "plugins") for p in (ROOT / folder).rglob("test_*.py")}
    for name in SECONDS:
        path, _, test = name.partition("::")
        if name.startswith("docs-"):
            assert (ROOT / "docs" / name.removeprefix("docs-")).exists(), name
        elif "/" in name:
            assert f"def {test}" in texts[ROOT / path], name
        else:
            assert any(f'xdist_group("{name}")' in text for text in texts.values()), name
