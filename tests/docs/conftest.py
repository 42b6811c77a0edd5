"""Every page is run once, from its first block to its last, when the first test asks for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from tests.docs.running import Run, run_page


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """What became of a page, by its name."""
    if not (shutil.which("bash") and shutil.which("curl")):
        pytest.skip("the pages are for a shell with bash and curl")
    runs: dict[str, Run] = {}

    def once(page: str) -> Run:
        if page not in runs:
            runs[page] = run_page(page, tmp_path_factory.mktemp(page.replace("/", "-").removesuffix(".md")))
        return runs[page]

    return once
