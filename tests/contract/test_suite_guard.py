"""A suite cannot be hollowed out in silence, and what deviates with a reason is printed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from k2core.testing import NormalizerSuite, deviates
from k2core.testing.conformance.suite import deviations, standard_tests
from tests.contract.pit_frames import PitSuite

NAME = "test_N02_every_record_of_a_frame_in_order"


def test_overriding_a_standard_test_needs_a_reason() -> None:
    with pytest.raises(TypeError, match=f"{NAME} replaces a standard test without a reason"):
        type("TestPit", (PitSuite,), {NAME: lambda self: None})


@pytest.mark.parametrize("nothing", [None, 7, property(lambda self: None)], ids=["none", "number", "property"])
def test_taking_a_standard_test_away_needs_a_reason(nothing: object) -> None:
    with pytest.raises(TypeError, match="without a reason"):
        type("TestPit", (PitSuite,), {NAME: nothing})


def test_a_mixin_cannot_replace_one_either() -> None:
    mixin = type("Mixin", (), {NAME: lambda self: None})
    with pytest.raises(TypeError, match=r"Mixin\.test_N02"):
        type("TestPit", (mixin, PitSuite), {})


@pytest.mark.parametrize("part", ["_read", "_check_refused", "run", "k2_prints_deviations"])
def test_parts_of_the_kit_cannot_be_replaced(part: str) -> None:
    with pytest.raises(TypeError, match="a part of the kit itself"):
        type("TestPit", (PitSuite,), {part: lambda self: None})


def test_a_suite_cannot_be_switched_off() -> None:
    with pytest.raises(TypeError, match="__test__"):
        type("TestPit", (PitSuite,), {"__test__": False})


@pytest.mark.parametrize(
    ("skips", "said"),
    [
        ({NAME: ""}, "needs a reason"),
        ({NAME: "  "}, "needs a reason"),
        ({"test_N02_every_record_of_a_frame": "why"}, f"no standard test: {NAME}?"),
        ({"test_something": "why"}, "no standard test"),
    ],
)
def test_a_skip_needs_a_reason_and_a_name_that_exists(skips: dict[str, str], said: str) -> None:
    with pytest.raises(TypeError) as error:
        type("TestPit", (PitSuite,), {"skips": skips})
    assert said in str(error.value)


def test_a_deviation_needs_a_reason() -> None:
    with pytest.raises(TypeError, match="reason"):
        deviates(" ")


def test_reasons_are_known_and_inherited() -> None:
    class Deviating(PitSuite):
        skips: ClassVar = {"test_N15_hostile_frames_are_refused": "they are met by a proxy"}

        @deviates("Pit numbers its trades backwards")
        def test_N02_every_record_of_a_frame_in_order(self) -> None:  # noqa: N802
            assert True

    class Heir(Deviating):
        pass

    wanted = {
        "test_N15_hostile_frames_are_refused": "they are met by a proxy",
        NAME: "Pit numbers its trades backwards",
    }
    assert deviations(Deviating) == deviations(Heir) == wanted
    with pytest.raises(pytest.skip.Exception, match="they are met by a proxy"):
        Heir().test_N15_hostile_frames_are_refused()


def test_an_honest_subclass_keeps_every_test() -> None:
    names = standard_tests(NormalizerSuite)
    assert all(callable(getattr(PitSuite, name)) for name in names)
    assert deviations(PitSuite) == {}
    assert standard_tests(PitSuite) == names


AUTHORS = """
from k2core.testing import deviates
from tests.contract.pit_frames import PitSuite

class TestPit(PitSuite):
    skips = {"test_N15_hostile_frames_are_refused": "they are met by a proxy"}

    @deviates("Pit numbers its trades backwards")
    def test_N02_every_record_of_a_frame_in_order(self):
        pass
"""


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_the_reasons_are_printed_whatever_the_authors_asyncio_mode(tmp_path: Path, mode: str) -> None:
    (tmp_path / "test_pit.py").write_text(AUTHORS)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nasyncio_mode = {mode}\n")
    asked = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "N02 or N15", str(tmp_path)]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(asked, capture_output=True, text=True, cwd=tmp_path, env=_env(root), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "k2 conformance: deviations from the standard" in done.stdout
    assert f"TestPit::{NAME}: Pit numbers its trades backwards" in done.stdout
    assert "TestPit::test_N15_hostile_frames_are_refused: they are met by a proxy" in done.stdout
    assert "1 passed, 1 skipped" in done.stdout


def _env(root: Path) -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(root)}
