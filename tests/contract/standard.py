"""Runs a suite's standard tests without pytest's collection, to see which of them a component fails."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from k2core.testing.conformance.suite import Suite, standard_tests

ALONE = "test_P"  # these look at the whole process: nothing else may run beside them


def applying(suite: type[Suite]) -> list[str]:
    """Standard tests that a suite runs: those of facts it does not declare are taken off."""
    return [name for name in standard_tests(suite) if getattr(suite, name) is not None]


def failing(suite: type[Suite], only: Iterable[str] | None = None, threads: int = 1) -> dict[str, str]:
    """Standard tests that a component fails, with what was said; in threads where most of the time is waiting."""
    names = [name for name in applying(suite) if only is None or name in only]
    apart = [name for name in names if name.startswith(ALONE) or threads == 1]
    found = {name: _said(suite, name) for name in apart}
    with ThreadPoolExecutor(threads) as pool:
        rest = [name for name in names if name not in apart]
        found |= dict(zip(rest, pool.map(lambda name: _said(suite, name), rest), strict=True))
    return {name: said for name, said in found.items() if said}


def _said(suite: type[Suite], name: str) -> str:
    try:
        getattr(suite(), name)()
    except Exception as error:  # noqa: BLE001 - whatever a broken component makes of it
        return "".join(traceback.format_exception(error))[-3000:]
    return ""
