"""The simulation has teeth: each of sixteen bugs, planted in shipped files, is found within the worlds of the default run."""

from __future__ import annotations

import pathlib

import pytest

from tests.simulation.hunt import results, start
from tests.simulation.planted import BUGS, Bug, planted, shadow
from tests.simulation.planted_shedding import SHED_BUGS

ALL = (*BUGS, *SHED_BUGS)
WORLDS, LIMIT_S = {"flow": 500, "files": 24, "shared": 120}, 600


def name(bug: Bug) -> str:
    return bug.name.replace(" ", "-")


def test_there_are_sixteen() -> None:
    assert len({bug.name for bug in BUGS}) == 16


@pytest.mark.parametrize("bug", ALL, ids=name)
def test_a_bug_fits_the_shipped_files(bug: Bug) -> None:
    for path, text in planted(bug).items():
        compile(text, str(path), "exec")
        assert text != path.read_text()


@pytest.mark.timeout(LIMIT_S)
@pytest.mark.parametrize("bug", ALL, ids=name)
def test_a_planted_bug_is_found(bug: Bug, tmp_path: pathlib.Path) -> None:
    path = shadow(bug, tmp_path)
    assert bug.seed < WORLDS[bug.worlds]
    (found,) = results([start(bug.worlds, bug.seed, 1, path)], LIMIT_S)
    assert found["loaded"].startswith(str(tmp_path)), "the shadow was not what ran"
    if found["seed"] is None:
        (found,) = results([start(bug.worlds, 0, WORLDS[bug.worlds], path)], LIMIT_S)
    assert found["seed"] is not None, f"{bug.name!r} was not found"
    print(f"{bug.name}: seed {found['seed']}: {found['seen']}")


@pytest.mark.parametrize("worlds", ["flow", "files"])
def test_a_shadow_without_a_bug_holds(worlds: str, tmp_path: pathlib.Path) -> None:
    (found,) = results([start(worlds, 0, 3, shadow(None, tmp_path))], LIMIT_S)
    assert found["loaded"].startswith(str(tmp_path))
    assert found["seed"] is None, found["seen"]
